"""The models of a worker."""

from typing import TypeAlias

from stable_audio_open.conditions import SECONDS
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.request.sampling_settings import default_sampling
from stable_audio_open.service.models import ModelFacts, ServedModels

Adapters: TypeAlias = tuple[tuple[str, float], ...]


class LoadedModels:
    """All models that are served, on one device.

    With adapters a model is loaded anew; the newest of these is kept.

    Args:
        served: Where they come from.
        device: Where to.

    Raises:
        ValueError: One cannot be loaded.
    """

    def __init__(self, served: ServedModels, device: str | None) -> None:
        self.served = served
        self._device = device
        self._plain = {name: self._load(source, ()) for name, source in served.models}
        self._adapted: tuple[tuple[str, Adapters], StableAudio] | None = None

    def facts(self) -> tuple[ModelFacts, ...]:
        """Return what one needs to know of each."""
        return tuple(facts_of(name, model) for name, model in self._plain.items())

    def get(self, name: str | None, adapters: Adapters = ()) -> StableAudio:
        """Return a model, the first where no name is given.

        Raises:
            ValueError: The adapters do not fit it.
        """
        name = self.served.models[0].name if name is None else name
        if not adapters:
            return self._plain[name]
        key = name, adapters
        if self._adapted is None or self._adapted[0] != key:
            self._adapted = None  # whose memory is wanted
            source = dict(self.served.models)[name]
            self._adapted = key, self._load(source, adapters)
        return self._adapted[1]

    def _load(self, source: str, adapters: Adapters) -> StableAudio:
        folders = dict(self.served.adapters)
        return StableAudio.from_pretrained(
            source,
            device=self._device,
            dtype=self.served.dtype,
            text_encoder=self.served.text_encoder,
            attention=self.served.attention,
            lora=[(folders[name], weight) for name, weight in adapters],
        )


def facts_of(name: str, model: StableAudio) -> ModelFacts:
    """Return what one needs to know of a model."""
    own = default_sampling(model)
    scale = own["guidance_scale"]
    assert isinstance(scale, float | int)
    return ModelFacts(
        name=name,
        sample_rate=model.sample_rate,
        channels=model.autoencoder.audio_channels,
        window_seconds=model.window_seconds,
        objective=model.objective,
        conditions=tuple(one for one in model.conditioner.numbers if one not in SECONDS),
        steps=own["steps"] or 1,
        guidance_scale=float(scale),
        sampler=str(own["sampler"]),
        schedule=str(own["schedule"]),
        device=str(model.device),
        dtype=str(model.transformer.dtype).removeprefix("torch."),
    )
