"""Several models on the page: the chosen one makes the sound, and the form follows it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import stable_audio_open
from stable_audio_open.checkpoint.lora.adapter import Adapter, save_adapter
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.service.models import Named, ServedModels
from stable_audio_open.service.service import Service
from tests.service.page.browser import download, field, fill, press, wait_for
from tests.service.page.conftest import listening, opened

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model with other weights."""
    model = stable_audio_open.load("tiny")
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.transformer.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=random)
    folder = tmp_path_factory.mktemp("models") / "other"
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter_folder(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> Path:
    """An adapter of the small model."""
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    name, weight = "output_projection", model.transformer.output_projection.weight
    random = torch.Generator().manual_seed(0)
    adapter = Adapter(
        down={name: torch.randn(2, weight.shape[1], generator=random)},
        up={name: torch.randn(weight.shape[0], 2, generator=random)},
        scale=1.0,
        settings={"peft_type": "LORA", "r": 2, "lora_alpha": 2},
        source="test",
    )
    folder = tmp_path_factory.mktemp("adapters") / "drums"
    save_adapter(adapter, folder)
    return folder


@pytest.fixture(scope="module")
def address(other_folder: Path, tiny_model_folder: Path, adapter_folder: Path) -> Iterator[str]:
    """Address of a service of three models and an adapter of the last."""
    served = ServedModels(
        models=(
            Named("tiny", "tiny"),
            Named("other", str(other_folder)),
            Named("small", str(tiny_model_folder)),
        ),
        adapters=(Named("drums", str(adapter_folder)),),
    )
    with Service(served, devices=("cpu",)) as service, listening(service) as at:
        yield at


def choose(page: Any, label: str, name: str) -> None:
    field(page, label).click()
    page.get_by_role("option", name=name, exact=True).click()
    playwright.expect(field(page, label)).to_have_value(name)


def offers(page: Any, label: str, *names: str) -> None:
    """Check what there is to choose from; another list may be closing yet."""
    field(page, label).click()
    options = page.get_by_role("option")
    playwright.expect(options).to_have_count(len(names))
    assert options.evaluate_all("all => all.map(one => one.ariaLabel)") == [*names]
    field(page, label).blur()
    playwright.expect(options).to_have_count(0)


def test_the_chosen_model_makes_the_sound(page: Any, other_folder: Path, tmp_path: Path) -> None:
    found = {}
    for name, source in (("tiny", "tiny"), ("other", str(other_folder))):
        if name != "tiny":  # it stands there
            choose(page, "Model", name)
        fill(page, prompt="tabla", seconds="0.5", steps="2", seed="3")
        press(page, "Make")
        wait_for(page, "seed 3")
        found[name], _ = download(page)
        model = stable_audio_open.load(source)
        model.generate("tabla", duration=0.5, steps=2, seed=3).save(tmp_path / f"{name}.wav")
        expected, _ = soundfile.read(tmp_path / f"{name}.wav")
        np.testing.assert_allclose(found[name], expected, atol=1e-4)
        fill(page, seed="4")
        press(page, "Make")
        wait_for(page, "seed 4")
    assert not np.allclose(found["tiny"], found["other"], atol=1e-2)


def test_defaults_are_those_of_the_model(page: Any) -> None:
    tiny = {"Seconds": "3.0", "Steps": "100", "Guidance scale": "7"}
    fill(page, steps="2")  # opens the settings
    fill(page, steps="")
    for name, wanted in (("other", tiny), ("small", {**tiny, "Seconds": "1.0"}), ("tiny", tiny)):
        choose(page, "Model", name)
        for label, value in wanted.items():
            playwright.expect(field(page, label)).to_have_attribute("placeholder", value)
            assert field(page, label).input_value() == ""


def test_a_model_is_offered_its_own_adapters(page: Any) -> None:
    offers(page, "Adapter", "none")
    choose(page, "Model", "small")
    playwright.expect(field(page, "Adapter")).to_have_value("none")
    offers(page, "Adapter", "none", "drums")
    choose(page, "Adapter", "drums")
    fill(page, prompt="bell", seconds="0.5", steps="1", seed="1")
    press(page, "Make")
    assert wait_for(page, "seed 1") == "0.50 s, seed 1"
    choose(page, "Model", "other")
    playwright.expect(field(page, "Adapter")).to_have_value("none")
    press(page, "Use its settings again")
    playwright.expect(field(page, "Model")).to_have_value("small")
    playwright.expect(field(page, "Adapter")).to_have_value("drums")
    fill(page, seed="2")
    press(page, "Make")
    assert wait_for(page, "seed 2") == "0.50 s, seed 2"


def test_one_model_is_no_choice(browser: Any, tiny_model_folder: Path) -> None:
    served = ServedModels(models=(Named("small", str(tiny_model_folder)),))
    with (
        Service(served, devices=("cpu",)) as service,
        listening(service) as at,
        opened(browser, at) as page,
    ):
        assert page.get_by_label("Model", exact=True).count() == 0
