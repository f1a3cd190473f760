"""A whole model with random weights, text encoder included: to measure speed and memory."""

import torch

from stable_audio_open.builders.model import TextEncoder, build_model, text_config
from stable_audio_open.builders.text_encoder import text_encoder_skeleton
from stable_audio_open.conditioning.conditioner import Conditioner, Prepared
from stable_audio_open.conditioning.text import TextConditioner, Tokens
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.latent_diffusion import LatentDiffusion


def random_model(
    config: DiffusionModelConfig, *, text_encoder: str | None = None
) -> LatentDiffusion:
    """Return the model in evaluation mode, on the CPU; PyTorch's random state stays as it was.

    Args:
        config: Configuration of a whole model.
        text_encoder: A published size such as `t5-base`, or a folder with its `config.json`; what
            the configuration names where None. Its weights are not read.

    Raises:
        ValueError: When the size of the text encoder is unknown.
    """
    skeleton = text_encoder_skeleton(text_encoder or text_config(config).model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = type(skeleton.encoder)(skeleton.encoder.config)
        text = TextEncoder(skeleton.tokenizer, encoder, skeleton.width)
        return build_model(config, text_encoder=text).eval()


def full_prompts(conditioner: Conditioner, items: int) -> Prepared:
    """Return prompts of as many tokens as the model takes, without a tokenizer."""
    texts, device = {}, conditioner.device
    for name, text in conditioner.texts.items():
        assert isinstance(text, TextConditioner)
        ids = torch.zeros(items, text.max_length, dtype=torch.long, device=device)
        texts[name] = Tokens(ids, torch.ones_like(ids, dtype=torch.bool))
    return Prepared(
        texts, {name: torch.zeros(items, device=device) for name in conditioner.numbers}
    )
