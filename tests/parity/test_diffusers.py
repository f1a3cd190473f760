"""Every network against diffusers' own, with its random weights carried over by the key map.

diffusers turns queries, keys and rotary tables to float32 whatever the model's type. To compare to
ten digits, its code runs here with "float32" meaning float64; a last test shows that it was only
that.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.model import TextEncoder
from stable_audio_open.checkpoint.diffusers.layout import autoencoder_keys
from stable_audio_open.checkpoint.export import save_diffusers
from stable_audio_open.checkpoint.weights.strict import load_strictly
from stable_audio_open.conditions import Conditioning
from stable_audio_open.config.autoencoder import AutoencoderConfig, OobleckConfig, VaeConfig
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.nn.rotary import RotaryEmbedding
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.pretrained_autoencoder import load_autoencoder

pytestmark = [
    pytest.mark.numerical,
    pytest.mark.filterwarnings(  # of diffusers' own code
        "ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning",
        "ignore:`Transformer2DModelOutput` is deprecated:FutureWarning",
        "ignore:Should have t[ab]:UserWarning",
    ),
]

TOKENS = 8
PROMPTS = ["deep kick drum", "a long warm bass with a soft bell of a drum of a bass"]
STRICT = {"rtol": 1e-10, "atol": 1e-10}


class Reference(NamedTuple):
    """diffusers' parts in float64, and the folder that they were saved to in float32."""

    folder: Path
    vae: Any
    transformer: Any
    projection: Any
    text: TextEncoder


def randomise(module: nn.Module, *, seed: int) -> None:
    """Give every parameter a random value, so that none is neutral (gains, snakes, offsets)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1 and not name.endswith(("weight_g", "alpha", "beta")):
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
            elif name.endswith(("alpha", "beta", "bias")):
                parameter.copy_(noise * 0.3)
            elif name.endswith(("time_proj.weight", "weights")):
                parameter.copy_(noise)
            else:
                parameter.copy_(1 + noise * 0.3)


@pytest.fixture(scope="module")
def reference(
    tmp_path_factory: pytest.TempPathFactory, tiny_text_encoder: TextEncoder
) -> Reference:
    """Save a small pipeline as diffusers does."""
    from diffusers import AutoencoderOobleck, StableAudioDiTModel, StableAudioProjectionModel

    folder = tmp_path_factory.mktemp("diffusers")
    vae = AutoencoderOobleck(
        encoder_hidden_size=8,
        downsampling_ratios=[2, 4, 6],
        channel_multiples=[1, 2, 3],
        decoder_channels=6,
        decoder_input_channels=4,
        audio_channels=2,
        sampling_rate=8000,
    )
    transformer = StableAudioDiTModel(
        sample_size=24,
        in_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=6,
        num_key_value_attention_heads=2,
        out_channels=4,
        cross_attention_dim=16,
        time_proj_dim=256,
        global_states_input_dim=32,
        cross_attention_input_dim=16,
    )
    projection = StableAudioProjectionModel(
        text_encoder_dim=tiny_text_encoder.width, conditioning_dim=16, min_value=0, max_value=512
    )
    tokenizer: Any = tiny_text_encoder.tokenizer
    encoder: Any = tiny_text_encoder.encoder
    parts = {"vae": vae, "transformer": transformer, "projection_model": projection}
    for seed, (name, part) in enumerate(parts.items()):
        randomise(part, seed=seed)
        part.save_pretrained(folder / name)
    encoder.save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    path = folder / "tokenizer/tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": TOKENS}))
    (folder / "model_index.json").write_text('{"_class_name": "StableAudioPipeline"}')
    return Reference(
        folder,
        vae.double().eval(),
        transformer.double().eval(),
        projection.double().eval(),
        tiny_text_encoder,
    )


@pytest.fixture(scope="module")
def model(reference: Reference) -> StableAudio:
    """The same pipeline in our classes, with the text encoder in float64 too."""
    ours = load_pipeline(reference.folder)
    ours.conditioner.texts["prompt"].encoder.double()
    return ours


def load_pipeline(folder: Path) -> StableAudio:
    model = load(folder, device="cpu", dtype="float64")
    assert isinstance(model, StableAudio)
    return model.requires_grad_(False)


@contextmanager
def float32_as_float64() -> Iterator[None]:
    """Let diffusers' attention work in float64 throughout."""
    from diffusers.models import attention_processor

    with pytest.MonkeyPatch.context() as patch:
        wide = SimpleNamespace(**{**vars(torch), "float32": torch.float64})
        patch.setattr(attention_processor, "torch", wide)
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        yield


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def velocities(
    model: StableAudio, reference: Reference, *, exact: bool = True
) -> tuple[Tensor, Tensor]:
    """Return our velocity and diffusers', for the same random inputs."""
    x, t = normal(2, 4, 24, seed=0), torch.tensor([0.13, 0.87], dtype=torch.float64)
    cross, global_ = normal(2, TOKENS + 2, 16, seed=1), normal(2, 32, seed=2)
    table = model.transformer.rotary(24 + 1)
    inputs = {
        "timestep": t,
        "encoder_hidden_states": cross,
        "global_hidden_states": global_[:, None],
        "rotary_embedding": (table.cos, table.sin),
        "return_dict": False,
    }
    with torch.no_grad():
        ours = model.transformer(x, t, Conditioning(cross, global_))
        if not exact:
            return ours, reference.transformer(x, **inputs)[0]
        with float32_as_float64():
            return ours, reference.transformer(x, **inputs)[0]


def test_encode(model: StableAudio, reference: Reference) -> None:
    audio = normal(2, 2, 48 * 24, seed=3) * 0.3
    with torch.no_grad():
        theirs = reference.vae.encode(audio).latent_dist
    ours = model.autoencoder.posterior(audio)
    torch.testing.assert_close(ours.mean, theirs.mean, **STRICT)
    torch.testing.assert_close(ours.std, theirs.std, **STRICT)
    torch.testing.assert_close(ours.kl(), theirs.kl(), **STRICT)
    assert relative(model.autoencoder.encode(audio, chunked=False), theirs.mode()) < 1e-10


def test_decode(model: StableAudio, reference: Reference) -> None:
    latents = normal(2, 4, 24, seed=4)
    with torch.no_grad():
        theirs = reference.vae.decode(latents).sample
    ours = model.autoencoder.decode(latents, chunked=False)
    assert ours.shape == (2, 2, 24 * 48)
    torch.testing.assert_close(ours, theirs, **STRICT)


def test_the_autoencoder_folder_alone(reference: Reference) -> None:
    alone = load(reference.folder / "vae", device="cpu", dtype="float64")
    assert isinstance(alone, AudioAutoencoder)
    latents = normal(1, 4, 3, seed=5)
    with torch.no_grad():
        theirs = reference.vae.decode(latents).sample
        torch.testing.assert_close(alone.decode(latents, chunked=False), theirs, **STRICT)


def test_the_autoencoder_of_the_pipeline_alone(model: StableAudio, reference: Reference) -> None:
    alone = load_autoencoder(reference.folder, device="cpu", dtype="float64").state_dict()
    state = model.autoencoder.state_dict()
    assert alone.keys() == state.keys()
    assert all(torch.equal(alone[name], tensor) for name, tensor in state.items())


def test_transformer(model: StableAudio, reference: Reference) -> None:
    ours, theirs = velocities(model, reference)
    assert theirs.std() > 0.3
    torch.testing.assert_close(ours, theirs, **STRICT)


def test_transformer_with_the_reference_as_it_is(model: StableAudio, reference: Reference) -> None:
    ours, theirs = velocities(model, reference, exact=False)
    # Its queries and keys are rounded to float32.
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_rotary_table() -> None:
    from diffusers.models.embeddings import get_1d_rotary_pos_embed

    cos, sin = get_1d_rotary_pos_embed(32, 1025, use_real=True, repeat_interleave_real=False)
    ours = RotaryEmbedding(rotated=32)(1025)
    torch.testing.assert_close(ours.cos, cos)
    torch.testing.assert_close(ours.sin, sin)


def test_conditioning(model: StableAudio, reference: Reference) -> None:
    starts, totals = [0.0, 3.5], [47.0, 700.0]
    tokenizer, encoder = reference.text.tokenizer, model.conditioner.texts["prompt"].encoder
    tokens = tokenizer(
        PROMPTS, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
        theirs = reference.projection(
            text_hidden_states=hidden,
            start_seconds=torch.tensor(starts),
            end_seconds=torch.tensor(totals),
        )
    text = theirs.text_hidden_states * tokens.attention_mask[..., None]
    seconds = [theirs.seconds_start_hidden_states, theirs.seconds_end_hidden_states]

    ours = model.conditioner(
        model.conditioner.prepare(
            [
                {"prompt": prompt, "seconds_start": start, "seconds_total": total}
                for prompt, start, total in zip(PROMPTS, starts, totals, strict=True)
            ]
        )
    )
    assert tokens.attention_mask.sum(dim=1).tolist() == [4, TOKENS]
    # diffusers divides the seconds by 512 in float32, which is exact.
    torch.testing.assert_close(ours.cross, torch.cat([text, *seconds], dim=1), **STRICT)
    torch.testing.assert_close(ours.global_, torch.cat(seconds, dim=-1)[:, 0], **STRICT)
    assert ours.cross[0, 4:TOKENS].abs().max() == 0


@pytest.mark.parametrize(
    ("part", "first", "second"),
    [
        ("vae", "decoder.block.0.snake1.alpha", "decoder.block.0.snake1.beta"),
        ("vae", "encoder.block.1.res_unit1.conv1.bias", "encoder.block.1.res_unit2.conv1.bias"),
        ("transformer", "transformer_blocks.0.norm1.weight", "transformer_blocks.0.norm2.weight"),
        (
            "transformer",
            "transformer_blocks.1.attn1.to_q.weight",
            "transformer_blocks.1.attn1.to_k.weight",
        ),
        (
            "transformer",
            "transformer_blocks.1.attn2.to_k.weight",
            "transformer_blocks.1.attn2.to_v.weight",
        ),
    ],
)
def test_two_swapped_tensors_are_noticed(
    tmp_path: Path, reference: Reference, part: str, first: str, second: str
) -> None:
    folder = tmp_path / "swapped"
    folder.mkdir()
    for path in reference.folder.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / part).unlink()
    (folder / part).mkdir()
    (folder / part / "config.json").symlink_to(reference.folder / part / "config.json")
    weights = f"{part}/diffusion_pytorch_model.safetensors"
    tensors = load_file(reference.folder / weights)
    tensors[first], tensors[second] = tensors[second], tensors[first]
    save_file(tensors, folder / weights)

    swapped = load_pipeline(folder)
    if part == "transformer":
        ours, theirs = velocities(swapped, reference)
    else:
        audio = normal(1, 2, 48 * 4, seed=6)
        with torch.no_grad():
            theirs = reference.vae.decode(reference.vae.encode(audio).latent_dist.mode()).sample
        ours = swapped.autoencoder.decode(
            swapped.autoencoder.encode(audio, chunked=False), chunked=False
        )
    assert relative(ours, theirs) > 1e-3


@pytest.mark.slow
def test_autoencoder_at_the_published_width() -> None:
    from diffusers import AutoencoderOobleck

    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = AutoencoderOobleck(audio_channels=2).eval()
    state = vae.state_dict()
    side = OobleckConfig(channels=128, multipliers=(1, 2, 4, 8, 16), strides=(2, 4, 4, 8, 8))
    config = AutoencoderModelConfig(
        name="published",
        sample_rate=44100,
        audio_channels=2,
        autoencoder=AutoencoderConfig(
            encoder=side, decoder=side, bottleneck=VaeConfig(), latent_channels=64
        ),
    )
    with torch.device("meta"):
        ours = build_autoencoder(config)
    load_strictly(ours, state, source="diffusers", keys=autoencoder_keys(config.autoencoder))
    audio = normal(1, 2, 2 * 2048, seed=7, dtype=torch.float32) * 0.1
    with torch.no_grad():
        theirs = vae.encode(audio).latent_dist
        posterior = ours.posterior(audio)
        torch.testing.assert_close(posterior.mean, theirs.mean)
        torch.testing.assert_close(posterior.std, theirs.std)
        latents = normal(1, 64, 2, seed=8, dtype=torch.float32)
        decoded = vae.decode(latents).sample
        torch.testing.assert_close(ours.decode(latents, chunked=False), decoded)


@pytest.fixture(scope="module")
def exported(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline read by us and written again."""
    folder = tmp_path_factory.mktemp("exported")
    ours = load(reference.folder, device="cpu")
    assert isinstance(ours, StableAudio)
    save_diffusers(ours, ours.config, folder)
    return folder


def test_an_export_is_bitwise_what_was_read(reference: Reference, exported: Path) -> None:
    for part in ("vae", "transformer", "projection_model"):
        name = f"{part}/diffusion_pytorch_model.safetensors"
        before, after = load_file(reference.folder / name), load_file(exported / name)
        assert before.keys() == after.keys()
        assert all(torch.equal(tensor, after[key]) for key, tensor in before.items())


def test_an_export_is_a_pipeline_of_diffusers(reference: Reference, exported: Path) -> None:
    from diffusers import StableAudioPipeline

    pipeline = StableAudioPipeline.from_pretrained(exported)
    assert pipeline.tokenizer.model_max_length == TOKENS
    assert pipeline.scheduler.config.sigma_max == 500
    latents = normal(2, 4, 12, seed=5)
    rotary = RotaryEmbedding(rotated=4).double()(12 + 1)
    with torch.no_grad():
        found = pipeline.vae.double().eval().decode(latents).sample
        torch.testing.assert_close(found, reference.vae.decode(latents).sample)
        call = {
            "hidden_states": latents,
            "timestep": torch.tensor([0.3, 0.6]).double(),
            "encoder_hidden_states": normal(2, 5, 16, seed=6),
            "global_hidden_states": normal(2, 1, 32, seed=7),
            "rotary_embedding": (rotary.cos, rotary.sin),
        }
        found = pipeline.transformer.double().eval()(**call).sample
        torch.testing.assert_close(found, reference.transformer(**call).sample)


def test_a_variant_that_some_parts_have(reference: Reference, tmp_path: Path) -> None:
    """As diffusers writes it, in shards too; the others come as they are."""
    folder = tmp_path / "pipeline"
    shutil.copytree(reference.folder, folder)
    shards = {"vae": "1GB", "transformer": "20KB"}
    for part, size in shards.items():
        half = deepcopy(getattr(reference, part)).half()
        half.save_pretrained(folder / part, variant="fp16", max_shard_size=size)
    assert (folder / "vae/diffusion_pytorch_model.fp16.safetensors").is_file()
    assert (folder / "transformer/diffusion_pytorch_model.safetensors.index.fp16.json").is_file()

    plain = load(reference.folder, device="cpu").state_dict()
    assert all(torch.equal(v, plain[k]) for k, v in load(folder, device="cpu").state_dict().items())
    found = load(folder, device="cpu", variant="fp16").state_dict()
    assert found.keys() == plain.keys()
    for name, tensor in found.items():
        halved = name.startswith(("autoencoder.", "transformer.")) and "rotary" not in name
        assert torch.equal(tensor, plain[name].half().float() if halved else plain[name]), name
    assert not all(torch.equal(tensor, plain[name]) for name, tensor in found.items())

    vae = load_autoencoder(folder / "vae", device="cpu", variant="fp16").state_dict()
    assert all(torch.equal(vae[name], found[f"autoencoder.{name}"]) for name in vae)
    with pytest.raises(ValueError, match="variant") as caught:
        load(folder, device="cpu", variant="bf16")
    assert str(caught.value).startswith(f"{folder}: there is no variant 'bf16'; it has fp16")


def test_an_export_generates(exported: Path) -> None:
    from diffusers import StableAudioPipeline

    pipeline = StableAudioPipeline.from_pretrained(exported)
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline("deep kick", num_inference_steps=2, audio_end_in_s=0.1)
    assert made.audios.shape[1] == 2
    assert made.audios.isfinite().all()
