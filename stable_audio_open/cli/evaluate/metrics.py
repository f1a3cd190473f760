"""The metrics that `evaluate protocol` measures, by the names of their commands."""

from stable_audio_open.evaluation.protocols.comparisons import Metric

METRICS: dict[str, Metric] = {}
"""Each compares the folders of a `Comparison` and returns its command's JSON."""
