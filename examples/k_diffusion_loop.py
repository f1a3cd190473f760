"""A sampling loop of one's own: k-diffusion's DPM-Solver++(2M) on the denoiser of a prompt.

Needs the extra: pip install ".[k-diffusion]"
"""

import torch
from k_diffusion.sampling import sample_dpmpp_2m

import stable_audio_open


@torch.inference_mode()
def main() -> None:
    """Sample "tabla" twice: by k-diffusion's loop, and by `generate`."""
    model = stable_audio_open.StableAudio.from_pretrained("tiny")
    denoiser = model.denoiser("tabla", duration=2.0, guidance_scale=5.0)
    sigmas = model.sigmas(30)
    x = model.noise(7) * sigmas[0]
    latents = sample_dpmpp_2m(denoiser, x, sigmas, disable=True)
    samples = model.autoencoder.decode(latents)[..., : 2 * model.sample_rate]
    stable_audio_open.Audio(samples.float().cpu(), model.sample_rate).save("own_loop.wav")

    same = model.generate("tabla", duration=2.0, guidance_scale=5.0, steps=30, seed=7)
    difference = (samples.cpu() - same.samples).abs().max() / same.samples.abs().max()
    print(f"largest difference beside the loudest sample: {float(difference):.1e}")


if __name__ == "__main__":
    main()
