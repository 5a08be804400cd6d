"""The options of `dlnotes data cache list` and `dlnotes data cache clear`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dlnotes_cli.configs.common import VoiceOptions
from dlnotes_cli.configs.option import DATA, Config, option


@dataclass(frozen=True, kw_only=True)
class CacheListConfig(VoiceOptions):
    """Every option of `data cache list`."""

    command: ClassVar[str] = "data cache list"


@dataclass(frozen=True, kw_only=True)
class CacheArgument(Config):
    """Whose pictures are deleted from the cache."""

    folder: Path | None = option(
        None, "Clear what is cached of this folder alone.", group=DATA, is_argument=True, metavar="FOLDER"
    )


@dataclass(frozen=True, kw_only=True)
class CacheClearConfig(VoiceOptions, CacheArgument):
    """Every option of `data cache clear`."""

    command: ClassVar[str] = "data cache clear"
