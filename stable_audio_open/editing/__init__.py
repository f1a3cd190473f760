"""Ways of changing and extending sounds: functions over a denoiser."""
