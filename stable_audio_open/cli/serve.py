"""`stable-audio-open serve`: sounds for many, by HTTP."""

import ipaddress
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stable_audio_open.cli import options
from stable_audio_open.cli.grouped import grouped
from stable_audio_open.cli.printing import tell

if TYPE_CHECKING:
    from stable_audio_open.service.limits import Limits
    from stable_audio_open.service.models import ServedModels


@dataclass(frozen=True, kw_only=True)
class ServedOptions:
    """What is served, and where it computes."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]MODEL",
            help='"tiny" (bundled), a checkpoint or a hub name; may be given again.',
            show_default="tiny",
        ),
    ] = None
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FOLDER",
            help="Adapter in peft's format that may be asked for; may be given again.",
        ),
    ] = None
    text_encoder: options.TextEncoder = None
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="cpu|cuda|cuda:N|mps",
            help="Where to compute; given again, a worker for each.",
            show_default="every GPU, or the CPU",
        ),
    ] = None
    dtype: options.Dtype = "auto"
    attention: options.Attention = "sdpa"
    threads: options.Threads = None

    def served(self) -> "ServedModels":
        """Return models and adapters by name.

        Raises:
            ValueError: Two have one name.
        """
        from stable_audio_open.service.models import ServedModels, named

        return ServedModels(
            models=named(self.model or ["tiny"]),
            adapters=named(self.lora or []),
            text_encoder=self.text_encoder,
            dtype=self.dtype,
            attention=self.attention,
            threads=self.threads,
        )


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """How much one may ask for."""

    seconds: Annotated[
        float | None,
        typer.Option(
            "--most-seconds",
            help="Seconds of all sounds of a request together.",
            show_default="240",
        ),
    ] = None
    steps: Annotated[
        int | None,
        typer.Option("--most-steps", help="Sampling steps of a request.", show_default="500"),
    ] = None
    waiting: Annotated[
        int | None,
        typer.Option("--most-waiting", help="Requests that may wait.", show_default="100"),
    ] = None
    waiting_of_client: Annotated[
        int | None,
        typer.Option(
            "--most-of-client", help="Requests of one client that may wait.", show_default="10"
        ),
    ] = None
    job_seconds: Annotated[
        float | None,
        typer.Option("--time-limit", help="Seconds that a request may take.", show_default="600"),
    ] = None
    client_seconds: Annotated[
        float | None,
        typer.Option(
            "--client-time",
            help="Seconds that all requests of one client may take in an hour.",
            show_default="no limit",
        ),
    ] = None
    end_seconds: Annotated[
        float | None,
        typer.Option(
            "--end-time",
            help="Seconds that requests which are being made may take yet when it ends.",
            show_default="60",
        ),
    ] = None
    kept_seconds: Annotated[
        float | None,
        typer.Option("--keep", help="Seconds that results are kept.", show_default="3600"),
    ] = None

    def limits(self) -> "Limits":
        """Return all limits.

        Raises:
            ValueError: One is not above 0.
        """
        from stable_audio_open.service.limits import Limits

        return Limits(**{k: v for k, v in asdict(self).items() if v is not None})


@grouped
def serve(
    *,
    served: ServedOptions,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any.")] = 7860,
    auth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Let in those alone who are in this file, a line NAME:SECRET each."
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond this machine without --auth.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A name by which this machine is called; may be given again."
        ),
    ] = None,
    together: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Sounds of one shape to make at once; their last bits may differ."
        ),
    ] = 1,
    no_page: Annotated[bool, typer.Option("--no-page", help="Serve HTTP alone.")] = False,
    limits: LimitOptions,
) -> None:
    """Make sounds for many clients, on a page and by HTTP (see `/openapi.json`)."""
    if not _is_local(host) and auth is None and not insecure:
        raise ValueError(
            f"--host {host} can be reached from other machines; give --auth FILE, or --insecure to "
            "let everybody in"
        )
    models, most = served.served(), limits.limits()

    from stable_audio_open.service.http.app import create_app
    from stable_audio_open.service.http.keys import read_keys
    from stable_audio_open.service.http.serving import interruptible, listening
    from stable_audio_open.service.http.serving import serve as serve_until_told
    from stable_audio_open.service.service import Service
    from stable_audio_open.service.work.pool import all_devices

    keys = None if auth is None else read_keys(auth)
    devices = served.device or all_devices()
    with interruptible(), listening(host, port) as at:
        service = Service(models, devices=devices, limits=most, together=together)
        if not no_page:
            # Else its copies of sounds would lie where those of all users do, and stay there; it is
            # read on import, which comes before the models are loaded, since it may be missing.
            os.environ["GRADIO_TEMP_DIR"] = str(service.page_folder)
            from stable_audio_open.service.page.build import mount_page
        with service:
            app = create_app(service, keys=keys, hosts=allow_host or ())
            if not no_page:
                app = mount_page(app, service)
            serve_until_told(service, app, at=at, tell=tell)


def _is_local(host: str) -> bool:
    """Return whether an address is reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
