"""Fine-tune a diffusion model in plain PyTorch: copy this and change it.

python scripts/finetune_loop.py --model tiny --data data/sonic_pi --output runs/mine --steps 200
"""

import argparse
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

from stable_audio_open import StableAudio
from stable_audio_open.checkpoint.native import save_native
from stable_audio_open.data.cache import encode_recordings
from stable_audio_open.data.latents import LatentDataset
from stable_audio_open.data.manifest import read_manifest
from stable_audio_open.diffusion.objective import TimestepSampler, drop_conditions, noise_latents
from stable_audio_open.training.ema import EmaSchedule, averaged_copy, update_average

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--model", default="tiny", help="any source that load takes")
parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl")
parser.add_argument("--output", type=Path, required=True, help="folder to write the model to")
parser.add_argument("--steps", type=int, default=200)
parser.add_argument("--lr", type=float, default=1e-4)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()
torch.manual_seed(options.seed)
model = StableAudio.from_pretrained(options.model, dtype="float32").requires_grad_(False)
device, numbers = next(model.parameters()).device, tuple(model.conditioner.numbers)
model.transformer.float().requires_grad_(True).train()
average, schedule = averaged_copy(model.transformer), EmaSchedule(decay=0.999, power=0.75)
recordings = read_manifest(options.data, "manifest.jsonl")
dataset = LatentDataset(
    recordings=recordings,
    latents=encode_recordings(
        autoencoder=model.autoencoder,
        recordings=recordings,
        folder=options.data,
        cache=options.data / "latents",
        channels=model.autoencoder.audio_channels,
        window_samples=model.window_samples,
    ),
    window=model.window_samples // model.autoencoder.downsampling,
    downsampling=model.autoencoder.downsampling,
    sample_rate=model.sample_rate,
    numbers=numbers,
    seed=options.seed,
)
optimizer = torch.optim.AdamW(model.transformer.parameters(), lr=options.lr, weight_decay=1e-3)
timesteps = TimestepSampler(seed=options.seed)


def batches() -> Iterator[dict[str, Any]]:
    """Go through the recordings again and again."""
    for epoch in count():
        dataset.set_epoch(epoch)
        yield from DataLoader(dataset, batch_size=8, shuffle=True)


for step, batch in enumerate(islice(batches(), options.steps), start=1):
    latents = (batch["latents"] + batch["std"] * torch.randn_like(batch["std"])).to(device)
    values = [{name: batch[name][i] for name in ("prompt", *numbers)} for i in range(len(latents))]
    conditioning = model.conditioner(model.conditioner.prepare(values))
    conditioning = drop_conditions(conditioning, torch.rand(len(latents), device=device) < 0.1)
    t = timesteps.draw(len(latents)).to(device)
    noised = noise_latents(latents, torch.randn_like(latents), t, model.objective)
    loss = mse_loss(model.transformer(noised.x, t, conditioning), noised.velocity)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.transformer.parameters(), 1.0)
    optimizer.step()
    update_average(average, model.transformer, decay=schedule.at(step))
    print(f"step {step} loss {loss.item():.4f}", flush=True)
model.transformer.load_state_dict(average.state_dict())
save_native(model, model.config, options.output)
