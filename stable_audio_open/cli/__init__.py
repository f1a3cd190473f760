"""The commands of `stable-audio-open`, one per file, thin."""
