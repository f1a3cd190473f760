"""Every shipped training configuration, made small."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
STEPS = 60
FEW_STEPS = 30
"""Of the student, whose batches each take the teacher a whole generation."""

SHIPPED = {
    # In an order in which each finds what it starts from.
    "bundled/autoencoder": "bundled-autoencoder",
    "tiny/autoencoder": "tiny-autoencoder",
    "tiny/autoencoder_adversarial": "tiny-autoencoder-adversarial",
    "tiny/autoencoder_decoder": "tiny-autoencoder-decoder",
    "tiny/diffusion": "tiny",
    "tiny/flow": "tiny-flow",
    "tiny/flow_few_steps": "tiny-flow-few-steps",
    "stable_audio_open_1_0/autoencoder": "stable-audio-open-1.0-autoencoder",
    "stable_audio_open_1_0/autoencoder_decoder": "stable-audio-open-1.0-autoencoder-decoder",
    "stable_audio_open_1_0/diffusion": "stable-audio-open-1.0",
    "stable_audio_open_small/diffusion": "stable-audio-open-small",
    "cluster/a100_8x8": "cluster",
    "finetune/loops_20s": "loops-20s",
    "finetune/one_shots_11s": "one-shots-11s",
    "finetune/lora": "lora",
    "finetune/decoder": "decoder",
}
"""Names of the runs."""

PROCESS = (
    "training.trainer.accelerator=cpu",
    "training.trainer.devices=1",
    "training.trainer.nodes=1",
    "training.trainer.strategy=auto",
    f"training.trainer.max_steps={STEPS}",
    "data.workers=0",
)
AUTOENCODER = (
    *(
        f"autoencoder.{side}.{size}"
        for side in ("encoder", "decoder")
        for size in ("channels=8", "multipliers=[1]", "strides=[32]")
    ),
    "autoencoder.latent_channels=8",
)
DISCRIMINATORS = ("training.adversarial.filters=4", "training.adversarial.fft_sizes=[512,128]")
CROPS = ("training.batch_size=4", "training.crop_samples=8192")
TRANSFORMER = (
    "training.batch_size=8",
    "window_samples=16384",
    "conditioning.width=16",
    "transformer.latent_channels=8",
    "transformer.width=32",
    "transformer.depth=2",
    "transformer.heads=2",
    "transformer.context_width=16",
)


def overrides(name: str) -> list[str]:
    """What makes a shipped configuration small."""
    shipped = json.loads((ROOT / "configs" / f"{name}.json").read_text())
    found = [*PROCESS, f"training.trainer.name={SHIPPED[name]}", *AUTOENCODER]
    if shipped["type"] == "autoencoder":
        adversarial = "adversarial" in shipped["training"]
        return [*found, *CROPS, *(DISCRIMINATORS if adversarial else [])]
    text, *numbers = shipped["conditioning"]["conditioners"]
    text |= {"model": "data/tiny_text_encoder", "max_length": 8}
    wide = 16 * len(shipped["conditioning"]["global"])
    found += [*TRANSFORMER, f"transformer.global_width={wide}"]
    if "adversarial" in shipped["training"]:
        # The student's own learning is measured; each side takes a turn at the end.
        found.append(f"training.trainer.max_steps={FEW_STEPS}")
        found.append(f"training.adversarial.warm_up.steps={FEW_STEPS - 2}")
    return [*found, f"conditioning.conditioners={json.dumps([text, *numbers])}"]
