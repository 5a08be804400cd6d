"""The options of `dlnotes doctor`."""

from dataclasses import dataclass
from typing import ClassVar

from dlnotes_cli.configs.common import VoiceOptions
from dlnotes_cli.configs.groups import FindDataOptions


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(VoiceOptions, FindDataOptions):
    """Every option of `doctor`."""

    command: ClassVar[str] = "doctor"
