"""The options of `dlnotes doctor`."""

from dataclasses import dataclass
from typing import ClassVar

from dlnotes_cli.configs.common import VoiceOptions
from dlnotes_cli.configs.groups import DataRootOptions


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(VoiceOptions, DataRootOptions):
    """Every option of `doctor`."""

    command: ClassVar[str] = "doctor"
