"""The options of `dlnotes data cache list` and `dlnotes data cache clear`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dlnotes_cli.shell.option import DATA, Config, option
from dlnotes_cli.shell.option_groups import OutputOptions


@dataclass(frozen=True, kw_only=True)
class CacheListConfig(OutputOptions):
    """Every option of `data cache list`."""

    command: ClassVar[str] = "data cache list"


@dataclass(frozen=True, kw_only=True)
class CacheArgument(Config):
    """Whose images are deleted from the cache."""

    folder: Path | None = option(
        None, "Clear what is cached of this folder alone.", group=DATA, is_argument=True, metavar="FOLDER"
    )


@dataclass(frozen=True, kw_only=True)
class CacheClearConfig(OutputOptions, CacheArgument):
    """Every option of `data cache clear`."""

    command: ClassVar[str] = "data cache clear"
