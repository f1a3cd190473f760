"""One call for every length: within the window, beyond it, and in loops."""

import math
from collections.abc import Mapping, Sequence
from typing import TypedDict

from stable_audio_open import generate as story
from stable_audio_open.arguments.checks import check_flag, check_number
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.given import GivenAudio
from stable_audio_open.editing.lengths import check_length, joint_duration, one_duration, seconds_of
from stable_audio_open.editing.long import generate_long
from stable_audio_open.editing.loops import generate_loop, with_tempo
from stable_audio_open.editing.timeline import PromptsOverTime
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request.given_adapters import GivenAdapters
from stable_audio_open.request.given_guidance import GivenScale
from stable_audio_open.request.given_prompts import GivenNegatives
from stable_audio_open.request.request import STRENGTH, check_start, check_window
from stable_audio_open.request.sampling_settings import SamplingOptions
from stable_audio_open.sampling import StepCallback
from stable_audio_open.waveforms import check_fade


class _Everywhere(TypedDict):
    window: float | None
    conditions: Mapping[str, float | Sequence[float]] | None
    negative_prompt: GivenNegatives | None
    seed: int | Sequence[int] | None
    progress: bool
    callback: StepCallback | None


class _NotInLoops(TypedDict):
    seconds_start: float
    init_audio: GivenAudio | None
    init_strength: float
    init_noise_level: float | None
    trim: bool
    fade: float | None


def generate(
    model: LatentDiffusion,
    prompt: PromptsOverTime,
    *,
    duration: float | Sequence[float] | None = None,
    samples: int | None = None,
    loop: bool = False,
    bars: float | None = None,
    bpm: float | None = None,
    seconds_start: float = 0.0,
    window: float | None = None,
    conditions: Mapping[str, float | Sequence[float]] | None = None,
    negative_prompt: GivenNegatives | None = None,
    steps: int | None = None,
    guidance_scale: GivenScale | None = None,
    guidance_rescale: float = 0.0,
    guidance_interval: tuple[float, float] = (0.0, math.inf),
    guidance_parallel: float = 1.0,
    guidance_norm: float = math.inf,
    guidance_momentum: float = 0.0,
    sampler: str | None = None,
    schedule: str | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    adapters: GivenAdapters | None = None,
    seed: int | Sequence[int] | None = None,
    init_audio: GivenAudio | None = None,
    init_strength: float = STRENGTH,
    init_noise_level: float | None = None,
    trim: bool = True,
    fade: float | None = None,
    progress: bool = True,
    callback: StepCallback | None = None,
) -> Audio:
    """Generate audio from text.

    What is None is the model's default: for a v-model the paper's, DPM-Solver++ for 100 steps with
    guidance scale 7 (section 4.2); for a rectified flow, Euler's method for 50 steps with 4; for
    one that was trained for few steps (`rf_denoiser`), ping-pong for 8 steps without guidance.

    Args:
        model: The trained system, in evaluation mode.
        prompt: A text, or one per item of a batch; instead of a text, several with weights,
            `[("rain", 0.7), ("fire", 0.3)]`, whose velocities are added in these shares, or several
            that follow each other, with the seconds at which they begin,
            `[(0, "rain"), (30, "storm")]`.
        duration: Seconds of sound, or of each item; the whole window when None. What is longer
            than the window (at most an hour) is made of windows that are denoised jointly.
        samples: Length in samples, instead of `duration`.
        loop: Make a sound that can be repeated without a seam, of exactly the length asked for.
        bars: Length of a loop in bars of four beats, instead of `duration`; needs `bpm`.
        bpm: Beats per minute of a loop's bars, which are added to the prompt, and to the
            conditions of a model that is conditioned on them.
        seconds_start: Where in an imagined longer recording the sound starts, in seconds; of
            models that are conditioned on it alone.
        window: Seconds to work on at once, at most the model's window, which is the default. The
            rest of the window after `duration` is silence, so a shorter one is faster; the model
            was trained on whole windows.
        conditions: The other numbers that the model is conditioned on, such as `{"bpm": 120}`:
            one for all items, or one per item.
        negative_prompt: What guidance leads away from, in the forms of `prompt`; None, for all
            or for an item, is nothing in particular.
        steps: Sampling steps, at least 1.
        guidance_scale: Classifier-free guidance; 1 switches it off. A number, one per item, or
            points `[(sigma, scale), ...]` between which it is linear in the model's time.
        guidance_rescale: 0..1, how far guidance keeps the conditional velocity's spread.
        guidance_interval: Lowest and highest noise level at which guidance applies: in sigma, and
            for flows in t, which is 0..1.
        guidance_parallel: Of adaptive projected guidance (APG, Sadat et al. 2024): 0..1, how much
            is kept of what guidance adds along x0 itself; 1 is plain guidance.
        guidance_norm: Of APG: longest root mean square of what guidance adds at scale 2.
        guidance_momentum: Of APG: share of the step before that is added to this one's.
        sampler: See `sampler_names()`; `k-diffusion:NAME` with that extra.
        schedule: `polyexponential` (rho 1) or `karras` (rho 7); `log-snr` or `linear` (in t), which
            begin with pure noise and are the flows'.
        sigma_min: Last noise level before 0; of `log-snr`, the one in whose place 0 comes.
        sigma_max: First noise level.
        adapters: How adapters that are loaded take part in this call, instead of what
            `set_adapters` said: `{"name": 0.5}`, in the forms that it takes.
        seed: Seed of the first item, from which the others count up; or one per item; random when
            None.
        init_audio: Sound to vary: one item or one per prompt, as an `Audio`, a path, a tensor
            `[channels, time]` with its rate, or a rate with an array `[time, channels]`.
        init_strength: 0..1, how much of `init_audio` is replaced: sampling starts at the noise
            level sigma = tan(pi/2 init_strength t), where t is the time of the first level, and
            takes all steps from there. 0 gives its reconstruction, 1 leaves nothing of it.
        init_noise_level: The sigma to start at, instead of `init_strength`.
        trim: Cut at `duration`, and decode no more than that needs; else return the whole window.
        fade: Seconds of the fade-out that saving gives an end that was cut: 5 ms when None, 0 is
            none.
        progress: Show a progress bar.
        callback: Called after each step with a `Step`: its number, the clean latents as predicted
            there, and a function that decodes them. Where it returns False, the run ends.

    Returns:
        Samples `[batch, channels, time]`, with the sample rate and the seed of each item.

    Raises:
        ValueError: When an argument is out of its range, or does not go with another.
        FloatingPointError: When the model gives NaN.
        StoppedError: When the callback has stopped the run.
    """
    check_flag(trim, "trim")
    check_length(duration=duration, samples=samples, loop=loop, bars=bars, bpm=bpm)
    duration = seconds_of(duration, samples=samples, bars=bars, bpm=bpm, rate=model.sample_rate)
    if bpm is not None:
        prompt = with_tempo(prompt, bpm)
        if "bpm" in model.conditioner.numbers and isinstance(conditions, Mapping | None):
            conditions = {"bpm": bpm, **(conditions or {})}
    sampling: SamplingOptions = {
        "steps": steps,
        "guidance_scale": guidance_scale,
        "guidance_rescale": guidance_rescale,
        "guidance_interval": guidance_interval,
        "guidance_parallel": guidance_parallel,
        "guidance_norm": guidance_norm,
        "guidance_momentum": guidance_momentum,
        "sampler": sampler,
        "schedule": schedule,
        "sigma_min": sigma_min,
        "sigma_max": sigma_max,
        "adapters": adapters,
    }
    everywhere: _Everywhere = {
        "window": window,
        "conditions": conditions,
        "negative_prompt": negative_prompt,
        "seed": seed,
        "progress": progress,
        "callback": callback,
    }
    check_start(init_strength, init_noise_level, audio=init_audio is not None)
    if loop:
        check_loop(
            seconds_start=seconds_start,
            init_audio=init_audio,
            trim=trim,
            guidance_momentum=guidance_momentum,
            fade=fade,
        )
        duration = one_duration(duration, prompt, "loops")
        return generate_loop(model, prompt, duration=duration, **everywhere, **sampling)
    rest: _NotInLoops = {
        "seconds_start": seconds_start,
        "init_audio": init_audio,
        "init_strength": init_strength,
        "init_noise_level": init_noise_level,
        "trim": trim,
        "fade": fade,
    }
    length = joint_duration(duration, prompt, window=check_window(model, window))
    if length is not None:
        return generate_long(model, prompt, duration=length, **rest, **everywhere, **sampling)
    return story.generate(
        model,
        prompt,  # type: ignore[arg-type]
        duration=duration,
        **rest,
        **everywhere,
        **sampling,
    )


def check_loop(
    *,
    seconds_start: float,
    init_audio: object,
    trim: bool,
    guidance_momentum: float = 0.0,
    fade: float | None = None,
) -> None:
    """Check that nothing is asked for that loops do not have.

    Raises:
        ValueError: Something is.
    """
    if check_number(seconds_start, "seconds_start"):
        raise ValueError(
            f"a loop has no place in a longer recording, got seconds_start {seconds_start:g}; "
            "leave it out"
        )
    if init_audio is not None:
        raise ValueError("a loop is made from text alone, got init_audio too; leave it out")
    if not trim:
        raise ValueError("a loop has nothing behind its end to keep; leave trim as it is")
    if fade is not None and check_fade(fade):
        raise ValueError(f"a loop has no end to fade, got fade {fade:g}; leave it out")
    if guidance_momentum is not None and check_number(guidance_momentum, "guidance_momentum"):
        raise ValueError(
            f"the windows of a loop move from step to step, which guidance_momentum "
            f"{guidance_momentum:g} cannot follow; leave it at 0"
        )
