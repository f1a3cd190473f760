"""The whole examination."""

import msgspec
import torch

from stable_audio_open.jobs.doctor.access import access_findings
from stable_audio_open.jobs.doctor.devices import attention_findings, device_findings
from stable_audio_open.jobs.doctor.finding import Section
from stable_audio_open.jobs.doctor.packages import extra_findings, package_findings, python_finding
from stable_audio_open.jobs.doctor.self_test import self_test
from stable_audio_open.version import VERSION


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found."""

    version: str
    """Of this library."""
    sections: tuple[Section, ...]
    """By kind."""

    @property
    def faults(self) -> int:
        """How many things do not work."""
        return sum(one.state == "fault" for part in self.sections for one in part.findings)


def examine(
    *, device: str | torch.device | None = None, dtype: str | torch.dtype = "float32"
) -> Examination:
    """Look at packages, devices, folders and the bundled model; some ten seconds.

    Args:
        device: Where the model is run; as `load` takes it.
        dtype: Format of its weights.

    Raises:
        ValueError: The device or the format is unknown.
    """
    sections = {
        "packages": [python_finding(), *package_findings()],
        "optional parts": extra_findings(),
        "devices": [*device_findings(), *attention_findings()],
        "access": access_findings(),
        "self-test": self_test(device, dtype),
    }
    return Examination(
        version=VERSION,
        sections=tuple(
            Section(name=name, findings=tuple(findings)) for name, findings in sections.items()
        ),
    )
