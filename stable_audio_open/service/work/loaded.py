"""The models of a worker."""

from stable_audio_open.conditions import SECONDS
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.request.sampling_settings import default_sampling
from stable_audio_open.service.models import ModelFacts, ServedModels


class LoadedModels:
    """All models that are served, on one device, each with the adapters that fit it.

    Args:
        served: Where they come from.
        device: Where to.

    Raises:
        ValueError: One cannot be loaded, or an adapter fits none of them.
    """

    def __init__(self, served: ServedModels, device: str | None) -> None:
        self.served = served
        self._models = {
            name: StableAudio.from_pretrained(
                source,
                device=device,
                dtype=served.dtype,
                text_encoder=served.text_encoder,
                attention=served.attention,
            )
            for name, source in served.models
        }
        for name, folder in served.adapters:
            self._load_adapter(name, folder)

    def facts(self) -> tuple[ModelFacts, ...]:
        """Return what one needs to know of each."""
        return tuple(facts_of(name, model) for name, model in self._models.items())

    def get(self, name: str | None) -> StableAudio:
        """Return a model, the first where no name is given."""
        name = self.served.models[0].name if name is None else name
        return self._models[name]

    def _load_adapter(self, name: str, folder: str) -> None:
        """Load an adapter into the models that it fits; none of them uses it unless it is asked."""
        faults = []
        for model in self._models.values():
            try:
                model.load_adapter(folder, name=name, weight=0.0)
            except ValueError as error:
                faults.append(error)
        if len(faults) == len(self._models):
            raise faults[0]


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
        dtype=model.precision,
        adapters=tuple(model.adapters),
    )
