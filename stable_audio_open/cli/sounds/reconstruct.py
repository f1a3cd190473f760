"""`stable-audio-open reconstruct`: a recording through the autoencoder."""

from stable_audio_open.cli import options
from stable_audio_open.cli.printing import tell
from stable_audio_open.files.names import stem_for_names


def reconstruct(
    file: options.Recording,
    *,
    output: options.Output,
    model: options.Model = "tiny",
    overwrite: options.Overwrite = False,
    subtype: options.Subtype = "pcm24",
    variant: options.Variant = None,
    revision: options.Revision = None,
    text_encoder: options.TextEncoder = None,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    threads: options.Threads = None,
) -> None:
    """Encode and decode a recording, to hear what the latents keep.

    The result is as long as the recording, at the model's sample rate and channels.
    """
    import math

    from stable_audio_open.audio.audio import Audio
    from stable_audio_open.audio.files import audio_info, read_audio
    from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
    from stable_audio_open.jobs.target import check_apart, plan
    from stable_audio_open.pretrained import load

    name = f"{stem_for_names(file)}.wav"
    check_apart(output / name if output.is_dir() else output, file)
    target = plan(output, sounds=1, subtype=subtype, overwrite=overwrite, tags=False)
    audio_info(file)
    options.use_threads(threads)

    loaded = load(
        model,
        device=device,
        dtype=dtype,
        text_encoder=text_encoder,
        variant=variant,
        revision=revision,
    )
    autoencoder = loaded if isinstance(loaded, AudioAutoencoder) else loaded.autoencoder
    audio = read_audio(
        file, sample_rate=autoencoder.sample_rate, channels=autoencoder.audio_channels
    )
    result = Audio(autoencoder.reconstruct(audio.samples), autoencoder.sample_rate)
    latents = math.ceil(audio.samples.shape[-1] / autoencoder.downsampling)
    (saved,) = target.save(result, [name])
    (end,) = result.sound_end()
    tell(
        f"{saved}: {result.duration:.2f} s, {f'sound ends at {end:.2f} s' if end else 'silent'}, "
        f"through {latents} latents of {autoencoder.latent_channels} channels"
    )
