"""A folder's pictures as they were found, and the form that they are brought into."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dlnotes_cli.data.formats import Resize


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder, in a fixed order; every tuple but `classes` has one entry for each."""

    root: Path
    names: tuple[str, ...]  # below `root`, with "/" between folders
    sizes: tuple[int, ...]  # bytes; -1 where there is no plain file
    times: tuple[int, ...]  # of the last change, in nanoseconds
    inodes: tuple[int, ...]  # which file it is: another may take its name with its size and time
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    parts: tuple[str, ...]  # "all", "train", "val" or "test"

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The path of every picture."""
        return tuple(self.root / name for name in self.names)

    @cached_property
    def _prefix(self) -> str:
        return str(self.root / "_").removesuffix("_")

    def path(self, i: int) -> str:
        """The path of one picture, made faster than a Path."""
        return self._prefix + self.names[i]


@dataclass(frozen=True)
class PictureShape:
    """The form that pictures are brought into."""

    channels: int
    height: int
    width: int
    resize: Resize

    @property
    def dimensions(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)

    @property
    def bytes(self) -> int:
        """Of one picture."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}-{self.resize}"
