"""The options of `dlnotes doctor`."""

from dataclasses import dataclass
from typing import ClassVar

from dlnotes_cli.data.options import DataRootOptions
from dlnotes_cli.shell.option_groups import OutputOptions


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(OutputOptions, DataRootOptions):
    """Every option of `doctor`."""

    command: ClassVar[str] = "doctor"
