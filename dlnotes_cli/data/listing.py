"""The images of a folder with their classes and splits, as found on disk."""

from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class FolderListing:
    """The images of a folder, in a fixed order; every tuple but `classes` has one entry per image."""

    root: Path
    names: tuple[str, ...]  # relative to `root`, with "/" between folders
    sizes: tuple[int, ...]  # bytes; -1 if it is not a regular file
    times: tuple[int, ...]  # of the last change, in nanoseconds
    inodes: tuple[int, ...]  # differ for another file of the same name, size and time
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    splits: tuple[str, ...]  # "all", "train", "val" or "test"
    folders: tuple[str, ...] = ()  # the class folders, where `classes` are other names

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The path of every image."""
        return tuple(self.root / name for name in self.names)

    def only(self, paths: Container[str]) -> "FolderListing":
        """The listing of those images whose path is in `paths`."""
        chosen = [i for i in range(len(self.names)) if self.path(i) in paths]
        names, sizes, times, inodes, labels, splits = (
            tuple([column[i] for i in chosen])
            for column in (self.names, self.sizes, self.times, self.inodes, self.labels, self.splits)
        )
        return FolderListing(self.root, names, sizes, times, inodes, labels, self.classes, splits, self.folders)  # type: ignore[arg-type]

    @cached_property
    def _prefix(self) -> str:
        return str(self.root / "_").removesuffix("_")

    def path(self, i: int) -> str:
        """The path of image i; several times as fast as building a Path."""
        return self._prefix + self.names[i]
