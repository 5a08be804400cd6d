"""The options of `dlnotes data list` and `dlnotes data info`."""

from dataclasses import dataclass
from typing import ClassVar

from dlnotes_cli.configs.groups import NAMED_SETS, FindDataOptions, SourceOptions, VoiceOptions
from dlnotes_cli.configs.option import DATA, DEVICE, Config, option


@dataclass(frozen=True, kw_only=True)
class DataListConfig(VoiceOptions, FindDataOptions):
    """Every option of `data list`."""

    command: ClassVar[str] = "data list"


@dataclass(frozen=True, kw_only=True)
class DataArgument(Config):
    """The data that is looked at."""

    data: str = option(
        "digits",
        "A named set, a folder of class folders, or a CSV file.",
        group=DATA,
        is_argument=True,
        metavar="[NAME|FOLDER|CSV]",
        complete=lambda: list(NAMED_SETS),
    )
    threads: int | None = option(
        None,
        "Threads that read pictures.",
        group=DEVICE,
        within="[1, 1024]",
        shown_default="OMP_NUM_THREADS, else all cores",
    )


@dataclass(frozen=True, kw_only=True)
class DataInfoConfig(VoiceOptions, SourceOptions, DataArgument):
    """Every option of `data info`."""

    command: ClassVar[str] = "data info"
