"""The diffusion transformer of section 2.2."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from stable_audio_open.config.fields import Depth, Size


class TransformerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="dit"):
    """Sizes of the diffusion transformer."""

    latent_channels: Size
    """Channels of the latents, as the autoencoder has them (64 when published)."""
    width: Size
    """Features per token (1536 when published)."""
    depth: Depth
    """Blocks (24 when published)."""
    heads: Size
    """Attention heads; `width` / `heads` features each (24 of 64 when published)."""
    context_width: Size
    """Features of a cross-attention token; its heads are as wide as the query heads."""
    global_width: Annotated[int, Meta(ge=0, le=65536)]
    """Features of the global conditioning before its projection; 0 where there is none."""
    qk_norm: Literal["none", "ln"] = "none"
    """What queries and keys of every head go through before the rotation: nothing, or a layer
    normalisation with learned gain and offset (`ln`, in the published small model)."""
    project_context: bool = False
    """Bring cross-attention tokens to `width` features, as the published small model does; they
    keep `context_width` otherwise."""
    inpainting: bool = False
    """Take, beside the noised latents, a mask (1 where latents are kept) and the latents times the
    mask: channels of a model that is trained to inpaint."""
    rotated: Size | None = None
    """Features of a head that the rotary embedding turns; half of them where null."""

    @property
    def rotated_features(self) -> int:
        """Features of a head that are rotated, spelt out."""
        return self.rotated or self.width // self.heads // 2

    @property
    def projected_context_width(self) -> int:
        """Features of a cross-attention token where the blocks use it."""
        return self.width if self.project_context else self.context_width

    def __post_init__(self) -> None:
        """Check that the heads fit."""
        if self.width % self.heads:
            raise ValueError(f"`width` {self.width} must be divisible by `heads` {self.heads}")
        head_width = self.width // self.heads
        if self.rotated is not None and (self.rotated % 2 or self.rotated > head_width):
            raise ValueError(
                f"`rotated` {self.rotated} must be even (features are rotated in pairs) and at "
                f"most the head width {head_width} (= `width` {self.width} / `heads` {self.heads})"
            )
        if self.rotated is None and head_width % 4:
            raise ValueError(
                "`width` / `heads` must be a multiple of 4 (half of it is rotated in pairs), "
                f"found {self.width} / {self.heads} = {head_width}"
            )
        if self.projected_context_width % head_width:
            raise ValueError(
                f"`context_width` {self.context_width} must be divisible by the head width "
                f"{head_width} (= `width` {self.width} / `heads` {self.heads})"
            )
        key_heads = self.projected_context_width // head_width
        if self.heads % key_heads:
            raise ValueError(
                f"`heads` {self.heads} must be divisible by the key/value heads {key_heads} "
                f"(= `context_width` {self.context_width} / head width {head_width})"
            )
