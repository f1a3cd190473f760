"""The page as a whole, and where it stands in the application."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from stable_audio_open.audio.shown.spectrogram import draw_spectrogram
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.pages.figure_style import png
from stable_audio_open.service.http.asking import client_of
from stable_audio_open.service.models import ModelFacts
from stable_audio_open.service.page.asking import sound_request, spans_of
from stable_audio_open.service.page.choice import adapters_to_choose
from stable_audio_open.service.page.examples import draw_examples
from stable_audio_open.service.page.following import Shown, follow
from stable_audio_open.service.page.forms import KINDS, Form, draw_form
from stable_audio_open.service.page.history import Made, files_of, listed, zip_of
from stable_audio_open.service.page.look import CSS, theme
from stable_audio_open.service.problems import InvalidError, ServiceError
from stable_audio_open.service.service import Service

logger = logging.getLogger(__name__)

TITLE = "stable-audio-open"
PATH = "/page"
PREVIEWS = 10
"""Steps between previews."""


def mount_page(app: FastAPI, service: Service) -> FastAPI:
    """Mount the page of a service at `PATH`; it is behind the application's gate."""
    page = build_page(service)
    # What waits, waits in the service's queue.
    page.queue(default_concurrency_limit=None, api_open=False)

    @app.get("/", include_in_schema=False)
    def root() -> RedirectResponse:
        return RedirectResponse(f"{PATH}/")

    mounted: FastAPI = gr.mount_gradio_app(
        app,
        page,
        path=PATH,
        show_error=True,
        max_file_size=service.limits.sound_bytes,
        footer_links=[],
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css=CSS,
    )
    return mounted


def build_page(service: Service) -> gr.Blocks:
    """Return the page of a service that has started."""
    models, adapters = service.models(), service.adapters()
    page: gr.Blocks
    with gr.Blocks(analytics_enabled=False, title=TITLE, delete_cache=_kept(service)) as page:
        history, job = gr.State([]), gr.State(None)
        gr.Markdown(f"# {TITLE}")
        with gr.Row():
            with gr.Column(scale=3, min_width=320), gr.Tabs() as tabs:
                drawn: list[tuple[Form, gr.Button]] = []
                for kind in KINDS:
                    with gr.Tab(kind.name, id=kind.name):
                        form = draw_form(kind, models, adapters)
                        drawn.append((form, gr.Button("Make", variant="primary")))
                        draw_examples(form.examples, form.components)
            with gr.Column(scale=2, min_width=320):
                status = gr.Textbox(
                    label="How far it is", interactive=False, elem_classes="status", lines=2
                )
                cancel = gr.Button("Cancel", interactive=False)
                player = gr.Audio(label="Sound", interactive=False, type="filepath", buttons=[])
                picture = gr.Image(
                    label="Spectrogram", interactive=False, buttons=[], alt_text="Mel spectrogram"
                )
                earlier = gr.Dropdown([], label="Earlier sounds of this session", interactive=True)
                again = gr.Button("Use its settings again")
                files = gr.File(
                    label="Download", file_count="multiple", interactive=False, height=110
                )
                with gr.Row():
                    flac = gr.Button("As FLAC")
                    archive = gr.Button("All as zip")
        shown = [status, cancel, player, picture, job, history, earlier, files]
        for form, make in drawn:
            make.click(
                _maker(service, form),
                [history, *form.components.values()],
                shown,
                show_progress="hidden",
                trigger_mode="once",
                api_visibility="private",
            )
        cancel.click(_canceller(service), job, None, queue=False, api_visibility="private")
        earlier.input(
            _opener(service), [earlier, history], [player, picture, files], api_visibility="private"
        )
        flac.click(_taker(service, as_zip=False), history, files, api_visibility="private")
        archive.click(_taker(service, as_zip=True), history, files, api_visibility="private")
        again.click(
            _user([form for form, _ in drawn], models),
            [earlier, history],
            [tabs, *(part for form, _ in drawn for part in form.components.values())],
            api_visibility="private",
        )
    return page


def _kept(service: Service) -> tuple[int, int]:
    """Return how often Gradio's own copies of files are looked at, and how long they are kept."""
    kept = max(1, int(service.limits.kept_seconds))
    return min(kept, 600), kept


def _client(request: gr.Request) -> str:
    """Return who asks, with the limits that they have by HTTP.

    Sessions of one client see nothing of each other, since each keeps the ids of its own jobs.
    """
    assert request.request is not None  # it is, but in Gradio's own examples
    return client_of(request.request)


def _maker(service: Service, form: Form) -> Callable[..., AsyncIterator[list[Any]]]:
    """Return what a press on "Make" does."""

    async def make(
        history: list[Made], request: gr.Request, *values: Any
    ) -> AsyncIterator[list[Any]]:
        client = _client(request)
        given = dict(zip(form.components, values, strict=True))
        try:
            sounds = {}
            for name in form.sounds:
                path = given.pop(name)
                if path is None:
                    raise InvalidError("there is no sound yet; send one, or record it", field=name)
                sounds[name] = service.add_sound(Path(path).read_bytes(), client=client).id
            asked = {**given, **form.fixed}
            if "spans" in asked:
                asked["spans"] = spans_of(asked["spans"] or "")
            made = sound_request(form.method, asked, sounds=sounds, preview_every=PREVIEWS)
            async for one in follow(service, made, client=client):
                if one.done is not None:
                    words = _listed_as(form, given, one)
                    history = [*history, Made(one.done, form.name, given, words)]
                yield _update(one, history, service, client)
        except ServiceError as error:
            yield _update(Shown(str(error), None), history, service, client)

    return make


def _update(one: Shown, history: list[Made], service: Service, client: str) -> list[Any]:
    skip = gr.skip()
    listing = skip if one.done is None else gr.Dropdown(choices=listed(history), value=one.done)
    return [
        one.words,
        gr.Button(interactive=one.job is not None),
        skip if one.sound is None else str(one.sound),
        skip if one.done is None else _picture(service, one.done, client),
        one.job,
        history,
        listing,
        skip if one.sound is None or one.done is None else [str(one.sound)],
    ]


def _picture(service: Service, job: str, client: str) -> str:
    """Draw a sound, beside its file, with which it expires."""
    path = service.result(job, client=client).parent / "spectrogram.png"
    if not path.exists():
        audio = service.audio(job, client=client)[0]
        content = png(draw_spectrogram(audio.samples[0], sample_rate=audio.sample_rate))
        replace_bytes(path, content)
    return str(path)


def _listed_as(form: Form, given: dict[str, Any], one: Shown) -> str:
    prompt = given.get("prompt") or ""
    return f"{form.name}: {prompt[:40]} ({one.words})"


def _canceller(service: Service) -> Callable[..., None]:
    def cancel(job: str | None, request: gr.Request) -> None:
        if job is not None:
            service.cancel(job, client=_client(request))

    return cancel


def _opener(service: Service) -> Callable[..., list[Any]]:
    def open_again(job: str | None, history: list[Made], request: gr.Request) -> list[Any]:
        if job is None or all(one.job != job for one in history):
            return [gr.skip()] * 3
        client = _client(request)
        try:
            path = str(service.result(job, client=client))
            return [path, _picture(service, job, client), [path]]
        except ServiceError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return open_again


def _taker(service: Service, *, as_zip: bool) -> Callable[..., list[str]]:
    def take(history: list[Made], request: gr.Request) -> list[str]:
        client = _client(request)
        if not as_zip:
            return [str(p) for p in files_of(service, history, client=client, format="flac")]
        path = zip_of(service, history, client=client)
        return [] if path is None else [str(path)]

    return take


def _user(forms: list[Form], models: Sequence[ModelFacts]) -> Callable[..., list[Any]]:
    """Return what "Use its settings again" does: the form is opened, and filled in."""
    facts = {one.name: one for one in models}

    def value_of(name: str, made: Made) -> Any:
        if name not in made.values:
            return gr.skip()
        if name == "adapter":  # which may be none of those of the model that is chosen now
            choices = adapters_to_choose(facts[made.values["model"]])
            return gr.Dropdown(choices=choices, value=made.values[name])
        return made.values[name]

    def use(job: str | None, history: list[Made]) -> list[Any]:
        found = next((one for one in history if one.job == job), None)
        if found is None:
            return [gr.skip()] * (1 + sum(len(form.components) for form in forms))
        filled = [
            value_of(name, found) if form.name == found.tab else gr.skip()
            for form in forms
            for name in form.components
        ]
        return [gr.Tabs(selected=found.tab), *filled]

    return use
