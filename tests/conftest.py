"""Small models with random weights, made once per run."""

import getpass
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported: several processes of several threads get in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if capability := os.environ.get("ATEN_CPU_CAPABILITY"):
    # PyTorch's compiler takes a graph that it keeps for another width of vectors as its own, and
    # its kernels then write beyond their buffers.
    cache = Path(tempfile.gettempdir(), f"torchinductor_{getpass.getuser()}_{capability}")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))

import jaxtyping
import pytest
import torch
from msgspec.structs import replace
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from stable_audio_open.audio_models.panns.network import (
    MUSIC_CLASSES,
    Cnn14DecisionLevel,
    panns_spectrogram,
)
from stable_audio_open.audio_models.stft_weights import front_end_tensors
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.model import TextEncoder, build_model
from stable_audio_open.checkpoint.native import save_native
from stable_audio_open.checkpoint.weights import precision
from stable_audio_open.config import autoencoder as autoencoder_config
from stable_audio_open.config import conditioning as conditioning_config
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.transformer import TransformerConfig
from stable_audio_open.latent_diffusion import LatentDiffusion
from tests.needs import needs_cuda

SAMPLE_RATE = 16000
WINDOW_SAMPLES = 16000
WORDS = ("deep", "kick", "drum", "soft", "bright", "bell", "long", "warm", "bass", "with")

LONGEST = (
    "test_shipped_configs.py",
    "test_training_pages.py",
    "test_compiled.py",
    "test_survival.py",
    "test_estimate.py",
    "test_processes.py",
    "test_evaluations.py",
    "test_validation.py",
    "test_shards_run.py",
    "test_users.py",
    "test_types.py",
)
"""Files that take minutes; they come first, so that no process works alone in the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--start-method",
        choices=multiprocessing.get_all_start_methods(),
        help="how processes are started where the code leaves it to Python: spawn is that of "
        "Windows and macOS",
    )


def pytest_configure(config: pytest.Config) -> None:
    method = config.getoption("--start-method")
    if method is not None:
        multiprocessing.set_start_method(method, force=True)
        # Processes that are not forked import the classes of tests by name.
        sys.path.insert(0, str(config.rootpath))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what a test printed as text that another process can be sent."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report


def small_autoencoder() -> autoencoder_config.AutoencoderConfig:
    """A stereo autoencoder of 32 samples per latent."""
    side = autoencoder_config.OobleckConfig(channels=4, multipliers=(1, 2), strides=(4, 8))
    return autoencoder_config.AutoencoderConfig(
        encoder=side, decoder=side, bottleneck=autoencoder_config.VaeConfig(), latent_channels=8
    )


@pytest.fixture(scope="session", autouse=True)
def single_precision() -> Iterator[None]:
    """Have "auto" take float32 on every processor, as it does on most: tolerances are float32's.

    Tests of "auto" itself say what is fast, and commands in processes of their own find out.
    """
    patch = pytest.MonkeyPatch()
    patch.setattr(precision, "fast_dtype", lambda device: torch.float32)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def tiny_autoencoder_config() -> AutoencoderModelConfig:
    return AutoencoderModelConfig(
        name="small-autoencoder",
        sample_rate=SAMPLE_RATE,
        audio_channels=2,
        autoencoder=small_autoencoder(),
    )


def small_model(*, name: str, head_width: int) -> DiffusionModelConfig:
    """A whole model of two heads."""
    return DiffusionModelConfig(
        name=name,
        sample_rate=SAMPLE_RATE,
        audio_channels=2,
        window_samples=WINDOW_SAMPLES,
        autoencoder=small_autoencoder(),
        conditioning=conditioning_config.ConditioningConfig(
            width=head_width,
            conditioners=(
                conditioning_config.T5Config(id="prompt", model="text_encoder", max_length=8),
                conditioning_config.NumberConfig(id="seconds_start", min=0, max=512),
                conditioning_config.NumberConfig(id="seconds_total", min=0, max=512),
            ),
            cross_attention=("prompt", "seconds_start", "seconds_total"),
            global_=("seconds_start", "seconds_total"),
        ),
        transformer=TransformerConfig(
            latent_channels=8,
            width=2 * head_width,
            depth=2,
            heads=2,
            context_width=head_width,
            global_width=2 * head_width,
        ),
    )


@pytest.fixture(scope="session")
def tiny_model_config() -> DiffusionModelConfig:
    return small_model(name="small", head_width=16)


@pytest.fixture(scope="session")
def wide_model_config() -> DiffusionModelConfig:
    """Heads as wide as the published ones: stable-audio-tools knows none below 32."""
    return small_model(name="wide", head_width=64)


@pytest.fixture(scope="session")
def tiny_text_encoder() -> TextEncoder:
    """A word-by-word Unigram tokenizer, and a T5 encoder that is wider than the conditioning."""
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"▁{w}", -2.0) for w in WORDS)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    config = T5Config(
        vocab_size=len(vocabulary), d_model=24, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        encoder = T5EncoderModel(config).eval()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    return TextEncoder(fast, encoder, config.d_model)


def saved_model(
    tmp_path_factory: pytest.TempPathFactory,
    config: DiffusionModelConfig,
    text_encoder: TextEncoder,
) -> Path:
    folder = tmp_path_factory.mktemp("models") / config.name
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = build_model(config, text_encoder=text_encoder)
    save_native(model, config, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model_folder(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model_config: DiffusionModelConfig,
    tiny_text_encoder: TextEncoder,
) -> Path:
    """A whole model in the native layout: 1 s of stereo at 16 kHz."""
    return saved_model(tmp_path_factory, tiny_model_config, tiny_text_encoder)


@pytest.fixture(scope="session")
def wide_model_folder(
    tmp_path_factory: pytest.TempPathFactory,
    wide_model_config: DiffusionModelConfig,
    tiny_text_encoder: TextEncoder,
) -> Path:
    """A whole model in the native layout that fits all other layouts but diffusers'."""
    return saved_model(tmp_path_factory, wide_model_config, tiny_text_encoder)


@pytest.fixture(scope="session")
def tiny_autoencoder_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_autoencoder_config: AutoencoderModelConfig
) -> Path:
    """An autoencoder alone in the native layout."""
    folder = tmp_path_factory.mktemp("models") / "small-autoencoder"
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = build_autoencoder(tiny_autoencoder_config)
    save_native(model, tiny_autoencoder_config, folder)
    return folder


@pytest.fixture(scope="session")
def randomise() -> Callable[..., None]:
    """Make a module float64 and all its parameters random, so that none stays neutral."""

    def randomise(module: nn.Module, *, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        module.double()
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            leaf = name.rpartition(".")[-1]
            if leaf in ("original0", "gain"):  # norms of weights, gains
                noise = (0.3 * noise).exp()
            elif parameter.ndim > 1:
                noise = noise * parameter[0].numel() ** -0.5
            elif "features" not in name:  # all but Fourier frequencies
                noise = 0.3 * noise
            parameter.data.copy_(noise)

    return randomise


@pytest.fixture(scope="session")
def random_model(
    tiny_model_config: DiffusionModelConfig,
    tiny_text_encoder: TextEncoder,
    randomise: Callable[..., None],
) -> LatentDiffusion:
    """A whole model of 500 latents, in float32; no parameter of the transformer is neutral."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = build_model(tiny_model_config, text_encoder=tiny_text_encoder)
    randomise(model.transformer)
    randomise(model.conditioner.numbers)
    return model.float().eval()


def small_flow_config() -> DiffusionModelConfig:
    """Like the published small model: few steps, and other numbers than seconds."""
    base = small_model(name="flow", head_width=16)
    return replace(
        base,
        objective="rf_denoiser",
        conditioning=conditioning_config.ConditioningConfig(
            width=16,
            conditioners=(
                conditioning_config.T5Config(id="prompt", model="text_encoder", max_length=8),
                conditioning_config.NumberConfig(id="seconds_total", min=0, max=256),
                conditioning_config.NumberConfig(id="bpm", min=40, max=240),
            ),
            cross_attention=("prompt", "seconds_total", "bpm"),
            global_=("seconds_total",),
        ),
        transformer=TransformerConfig(
            latent_channels=8,
            width=32,
            depth=2,
            heads=2,
            context_width=16,
            global_width=16,
            qk_norm="ln",
            project_context=True,
        ),
    )


@pytest.fixture(scope="session")
def random_flow(tiny_text_encoder: TextEncoder, randomise: Callable[..., None]) -> LatentDiffusion:
    """A whole flow of 500 latents, in float32; no parameter of the transformer is neutral."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = build_model(small_flow_config(), text_encoder=tiny_text_encoder)
    randomise(model.transformer)
    randomise(model.conditioner.numbers)
    return model.float().eval()


@pytest.fixture(scope="session")
def flow_folder(tmp_path_factory: pytest.TempPathFactory, random_flow: LatentDiffusion) -> Path:
    """The same flow in the native layout."""
    folder = tmp_path_factory.mktemp("models") / "flow"
    save_native(random_flow, small_flow_config(), folder)
    return folder


PANNS_CLASSES = ("Speech", *MUSIC_CLASSES)
PANNS_WIDTHS = (3, 4, 5, 6, 7, 8)


def random_panns_network() -> Cnn14DecisionLevel:
    """Everything random, the statistics of batch norms too."""
    generator = torch.Generator().manual_seed(0)
    network = Cnn14DecisionLevel(classes=len(PANNS_CLASSES), widths=PANNS_WIDTHS).eval()
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            values = torch.randn(tensor.shape, generator=generator)
            scale = 30 if name == "bn0.running_mean" else 0.5
            tensor.copy_(values.abs() + 0.3 if name.endswith("running_var") else scale * values)
    return network


def loudness_network() -> Cnn14DecisionLevel:
    """Hears "Music" wherever there is sound, and nothing in silence."""
    network = Cnn14DecisionLevel(classes=len(PANNS_CLASSES), widths=(2,) * 6).eval()
    for name, tensor in network.state_dict().items():
        if name.endswith(("conv1.weight", "conv2.weight")):
            tensor.fill_(1 / (9 * tensor.shape[1]))
    network.bn0.running_mean.fill_(-70.0)  # silence is at -100 dB
    nn.init.eye_(network.fc1.weight)
    nn.init.zeros_(network.fc1.bias)
    nn.init.zeros_(network.fc_audioset.weight)
    nn.init.constant_(network.fc_audioset.bias, -5.0)
    nn.init.constant_(network.fc_audioset.weight[PANNS_CLASSES.index("Music")], 1.0)
    return network


def save_panns(folder: Path, network: Cnn14DecisionLevel) -> Path:
    """Write a checkpoint and its names as PANNs and AudioSet publish them."""
    folder.mkdir(exist_ok=True)
    path = folder / "small.pth"
    front_end = front_end_tensors(panns_spectrogram())
    torch.save({"iteration": 1, "model": front_end | network.state_dict()}, path)
    rows = [f'{index},/m/{index},"{name}"' for index, name in enumerate(PANNS_CLASSES)]
    names = "\n".join(["index,mid,display_name", *rows])
    (folder / "class_labels_indices.csv").write_text(names + "\n")
    return path


@pytest.fixture
def random_panns(tmp_path: Path) -> Path:
    return save_panns(tmp_path / "random", random_panns_network())


@pytest.fixture
def loudness_panns(tmp_path: Path) -> Path:
    return save_panns(tmp_path / "loudness", loudness_network())


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, needs_cuda])])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """A CUDA device, and the CPU, on which the same test has to hold where there is none.

    float32 means float32 meanwhile: PyTorch's convolutions take TF32 on CUDA unless told otherwise.
    """
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield torch.device(request.param)
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture
def types_unchecked() -> Iterator[None]:
    """As users have it: pytest's checks of types would come before our own."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
