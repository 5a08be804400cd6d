"""The options of `dlnotes doctor`."""

from dataclasses import dataclass
from typing import ClassVar

from dlnotes_cli.data.options import DataRootOptions
from dlnotes_cli.shell.option_groups import VoiceOptions


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(VoiceOptions, DataRootOptions):
    """Every option of `doctor`."""

    command: ClassVar[str] = "doctor"
