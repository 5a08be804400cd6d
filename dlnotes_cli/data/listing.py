"""List folders of classes, `FOLDER/<class>/<file>`, with or without split folders."""

import os
import stat
from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from dlnotes_cli.data.walk import EXTENSIONS, cannot_list, natural_order, walk
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError

_SPLITS = {  # names of split folders, in any case
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
Content = Literal["images", "texts"]


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


def list_folder(root: Path, extensions: frozenset[str] = EXTENSIONS, content: Content = "images") -> FolderListing:
    """List the files below `root` that end in one of `extensions`, images or texts, without hidden ones.

    Raises InputError if `root` has no class folders, or naming a class folder without such files.
    """
    class_folders = _class_folders(root, content)
    if not any(class_folders.values()):
        raise InputError("--data", f"{root} has no class folders", _layout(content))
    classes = tuple(sorted({name for names in class_folders.values() for name in names}, key=_order))
    position = {name: index for index, name in enumerate(classes)}
    files = [
        (*file, position[name], _SPLITS.get(split.lower(), "all"))
        for split, names in class_folders.items()
        for name in sorted(names, key=_order)
        for file in _files(root, f"{split}/{name}" if split else name, extensions, content)
    ]
    names, sizes, times, inodes, labels, splits = zip(*files, strict=True)
    return FolderListing(root, names, sizes, times, inodes, labels, tuple(map(output.readable, classes)), splits)


def list_any_folder(root: Path) -> FolderListing:
    """The listing of `list_folder`, or without class folders that of all images below `root`, in one class.

    Raises InputError for a folder without images.
    """
    if any(_class_folders(root).values()):
        return list_folder(root)
    files = _files(root, "")
    names, sizes, times, inodes = zip(*files, strict=True)
    relative = tuple(name.lstrip("/") for name in names)
    every = len(relative)
    return FolderListing(root, relative, sizes, times, inodes, (0,) * every, ("",), ("all",) * every)


def _order(name: str) -> tuple[int, int, str]:
    """The place of a class, the same in every locale."""
    return natural_order(output.readable(name))


def _layout(content: Content) -> str:
    """What a folder is expected to contain."""
    file = content.removesuffix("s")
    return f"expected FOLDER/<class>/<{file}> or FOLDER/{{train,val,test}}/<class>/<{file}>"


def _class_folders(root: Path, content: Content = "images") -> dict[str, list[str]]:
    """The class folders of each split folder, or under "" those of a root without split folders."""
    names = _subfolders(root)
    splits = {name: below for name in names if name.lower() in _SPLITS and (below := _subfolders(root / name))}
    others = [name for name in names if name.lower() not in _SPLITS]
    if splits and others:
        both = f"{root} has split folders ({', '.join(splits)}) and other folders ({', '.join(others[:5])})"
        raise InputError("--data", both, _layout(content))
    return splits or {"": names if others else []}


def _subfolders(root: Path) -> list[str]:
    try:
        return sorted(
            entry.name for entry in root.iterdir() if not entry.name.startswith((".", "__")) and entry.is_dir()
        )
    except OSError as error:
        raise cannot_list(error) from error


def _files(
    root: Path, base: str, extensions: frozenset[str] = EXTENSIONS, content: Content = "images"
) -> list[tuple[str, int, int, int]]:
    """Name relative to `root`, size, time and inode of each file in the class folder `base`."""
    folder = str(root / base)
    _check_link(root / base)
    files = [(base + entry.path[len(folder) :], *_status(entry)) for entry in walk(folder, extensions)]
    if not files:
        raise InputError("--data", f"class folder {folder} has no {content}", "add some, or remove the folder")
    return files


def _check_link(folder: Path) -> None:
    """Raise InputError for a class folder that links to one of its parents: it would contain all other classes."""
    if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
        what = f"class folder {folder} is a link to its parent folder {folder.resolve()}"
        raise InputError("--data", what, "remove the link")


def _status(entry: os.DirEntry[str]) -> tuple[int, int, int]:
    """Size, time and inode; size -1 if it is not a regular file."""
    try:
        status = entry.stat()
    except OSError:  # a broken link, which --skip-bad skips
        return -1, 0, 0
    return (status.st_size, status.st_mtime_ns, status.st_ino) if stat.S_ISREG(status.st_mode) else (-1, 0, 0)
