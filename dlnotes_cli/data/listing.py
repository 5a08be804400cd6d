"""A folder's images as they were found."""

from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Listing:
    """The images of a folder, in a fixed order; every tuple but `classes` has one entry for each."""

    root: Path
    names: tuple[str, ...]  # below `root`, with "/" between folders
    sizes: tuple[int, ...]  # bytes; -1 where there is no plain file
    times: tuple[int, ...]  # of the last change, in nanoseconds
    inodes: tuple[int, ...]  # which file it is: another may take its name with its size and time
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    splits: tuple[str, ...]  # "all", "train", "val" or "test"

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The path of every image."""
        return tuple(self.root / name for name in self.names)

    def only(self, paths: Container[str]) -> "Listing":
        """Those of the images whose paths are among `paths`."""
        chosen = [i for i in range(len(self.names)) if self.path(i) in paths]
        names, sizes, times, inodes, labels, splits = (
            tuple([column[i] for i in chosen])
            for column in (self.names, self.sizes, self.times, self.inodes, self.labels, self.splits)
        )
        return Listing(self.root, names, sizes, times, inodes, labels, self.classes, splits)  # type: ignore[arg-type]

    @cached_property
    def _prefix(self) -> str:
        return str(self.root / "_").removesuffix("_")

    def path(self, i: int) -> str:
        """The path of one image, made faster than a Path."""
        return self._prefix + self.names[i]
