"""`stable-audio-open evaluate reconstruction`: what an autoencoder keeps of recordings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stable_audio_open.cli import options
from stable_audio_open.cli.evaluate import output as shared
from stable_audio_open.cli.printing import echo

if TYPE_CHECKING:
    from stable_audio_open.evaluation.reconstruction import ReconstructionResult


def reconstruction(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|DECODED",
            help='"tiny", a checkpoint or a hub name; or a folder of decoded recordings.',
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the originals.")],
    *,
    allow_missing: shared.AllowMissing = False,
    output: shared.Output = None,
    text_encoder: options.TextEncoder = None,
    device: options.Device = None,
    dtype: options.MeasuredDtype = "float32",
    threads: options.Threads = None,
) -> None:
    """STFT distance, MEL distance and SI-SDR between decoded recordings and their originals."""
    from stable_audio_open.audio.paths import audio_files
    from stable_audio_open.evaluation.reconstruction import evaluate_decoded

    shared.check_output(output)
    options.use_threads(threads)
    decoded = Path(model)
    if decoded.is_dir() and next(audio_files(decoded, tell=False), None) is not None:
        result = evaluate_decoded(decoded, folder, allow_missing=allow_missing)
    else:
        result = _through(model, folder, text_encoder=text_encoder, device=device, dtype=dtype)
    echo(f"{'':>8}  {'STFT':>8}  {'MEL':>8}  {'multi-res.':>10}  {'SI-SDR dB':>9}")
    for name, row in (("mean", result.mean), ("median", result.median)):
        echo(
            f"{name:>8}  {row.stft:8.3f}  {row.mel:8.3f}  {row.multi_resolution_stft:10.3f}  "
            f"{row.si_sdr:9.2f}"
        )
    silent = len(result.silent_originals)
    echo(f"{result.files} files" + (f", {silent} silent originals left out" if silent else ""))
    if result.silent_channels:
        echo(
            f"warning: {len(result.silent_channels)} originals have a silent channel, "
            f"{result.silent_channels[0]!r} first, which SI-SDR leaves out"
        )
    shared.report(result, output)


def _through(
    model: str, folder: Path, *, text_encoder: str | None, device: str | None, dtype: str
) -> "ReconstructionResult":

    from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
    from stable_audio_open.evaluation.reconstruction import evaluate_autoencoder
    from stable_audio_open.evaluation.sets import recordings_by_id
    from stable_audio_open.evaluation.weights import module_hash
    from stable_audio_open.pretrained import load

    recordings_by_id(folder)
    loaded = load(model, device=device, dtype=dtype, text_encoder=text_encoder)
    autoencoder = loaded if isinstance(loaded, AudioAutoencoder) else loaded.autoencoder
    return evaluate_autoencoder(
        folder,
        lambda audio: autoencoder.reconstruct(audio.samples)[0],
        sample_rate=autoencoder.sample_rate,
        channels=autoencoder.audio_channels,
        checkpoint=model,
        checkpoint_hash=module_hash(autoencoder),
    )
