"""List folders of classes, `FOLDER/<class>/<file>`, with or without split folders."""

import os
import stat
from collections.abc import Container
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from dlnotes_cli.data.walk import EXTENSIONS, cannot_list, natural_order, walk
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError

_SPLITS = {  # names of split folders, in any case
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
Content = Literal["images", "texts"]


class FileStamp(NamedTuple):
    """What tells an image file from a later one of its name."""

    name: str  # relative to the root of the listing, with "/" between folders
    size: int  # bytes; -1 if it is not a regular file
    time: int  # of the last change, in nanoseconds
    inode: int


@dataclass(frozen=True)
class FolderListing:
    """The images of a folder, in a fixed order; `stamps`, `labels` and `splits` have one entry per image."""

    root: Path
    stamps: tuple[FileStamp, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    splits: tuple[str, ...]  # "all", "train", "val" or "test"
    folders: tuple[str, ...] = ()  # the class folders, where `classes` are other names

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The path of every image."""
        return tuple(self.root / stamp.name for stamp in self.stamps)

    def only(self, paths: Container[str]) -> "FolderListing":
        """The listing of those images whose path is in `paths`."""
        chosen = [i for i in range(len(self.stamps)) if self.path(i) in paths]
        return replace(
            self,
            stamps=tuple(self.stamps[i] for i in chosen),
            labels=tuple(self.labels[i] for i in chosen),
            splits=tuple(self.splits[i] for i in chosen),
        )

    @cached_property
    def _prefix(self) -> str:
        return str(self.root / "_").removesuffix("_")

    def path(self, i: int) -> str:
        """The path of image i; several times as fast as building a Path."""
        return self._prefix + self.stamps[i].name


def list_folder(root: Path, extensions: frozenset[str] = EXTENSIONS, content: Content = "images") -> FolderListing:
    """List the files below `root` that end in one of `extensions`, images or texts, without hidden ones.

    Raises InputError if `root` has no class folders, or naming a class folder without such files.
    """
    class_folders = _class_folders(root, content)
    if not any(class_folders.values()):
        raise InputError("--data", f"{root} has no class folders", _layout(content))
    classes = sorted({name for names in class_folders.values() for name in names}, key=_order)
    stamps, labels, splits = list[FileStamp](), list[int](), list[str]()
    for split, names in class_folders.items():
        for name in sorted(names, key=_order):
            found = _files(root, f"{split}/{name}" if split else name, extensions, content)
            stamps += found
            labels += [classes.index(name)] * len(found)
            splits += [_SPLITS.get(split.lower(), "all")] * len(found)
    return FolderListing(root, tuple(stamps), tuple(labels), tuple(map(output.readable, classes)), tuple(splits))


def list_any_folder(root: Path) -> FolderListing:
    """The listing of `list_folder`, or without class folders that of all images below `root`, in one class.

    Raises InputError for a folder without images.
    """
    if any(_class_folders(root).values()):
        return list_folder(root)
    stamps = tuple(stamp._replace(name=stamp.name.lstrip("/")) for stamp in _files(root, ""))
    return FolderListing(root, stamps, (0,) * len(stamps), ("",), ("all",) * len(stamps))


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
) -> list[FileStamp]:
    """The files in the class folder `base`."""
    folder = root / base
    if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
        what = f"class folder {folder} is a link to its parent folder {folder.resolve()}"  # with all other classes
        raise InputError("--data", what, "remove the link")
    start = len(str(folder))
    stamps = [_stamp(base + entry.path[start:], entry) for entry in walk(str(folder), extensions)]
    if not stamps:
        raise InputError("--data", f"class folder {folder} has no {content}", "add some, or remove the folder")
    return stamps


def _stamp(name: str, entry: os.DirEntry[str]) -> FileStamp:
    try:
        status = entry.stat()
    except OSError:  # a broken link, which --skip-bad skips
        return FileStamp(name, -1, 0, 0)
    size = status.st_size if stat.S_ISREG(status.st_mode) else -1
    return FileStamp(name, size, status.st_mtime_ns, status.st_ino)
