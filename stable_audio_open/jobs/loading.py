"""The model of a request, and how it is loaded."""

import msgspec


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What every job with a model from disk is asked."""

    model: str
    """As `load` takes it."""
    text_encoder: str | None = None
    """Folder or hub name of a T5 encoder, as `load` takes it."""
    device: str | None = None
    """Where to compute; a GPU where there is one and this is None."""
    dtype: str | None = None
    """Number format of the weights; float32 where None."""
