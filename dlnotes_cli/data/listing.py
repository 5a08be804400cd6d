"""Find image and text files below a folder, and list folders of classes, `FOLDER/<class>/<file>`.

It imports nothing heavy, as commands use it at start-up.
"""

import os
import stat
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import parse_object
from dlnotes_cli.shell.errors import InputError, unreadable
from dlnotes_cli.shell.files import read_file

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
TEXTS = frozenset({".txt", ".text", ".md", ".rst", ".tex"})
SPLITS = {  # names of split folders, in any case
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_LARGEST_NAMES = 1 << 24  # bytes of a file of class names
_SHOWN = 5  # folders that an error names
Content = Literal["images", "texts"]


def find_images(folder: Path, *, recursive: bool = True) -> Iterator[Path]:
    """The images of a folder, and with `recursive` of its subfolders, in the order of `walk`."""
    yield from (Path(entry.path) for entry in walk(str(folder), recursive=recursive))


def walk(root: str, extensions: frozenset[str] = EXTENSIONS, *, recursive: bool = True) -> Iterator[os.DirEntry[str]]:
    """Entries below a folder with one of `extensions` (lowercase, with the dot), without hidden ones.

    The files of a folder, sorted by name, come before those of its subfolders, in natural order. Links to folders are
    not followed. Raises InputError for a folder that cannot be listed.
    """
    pending = [root]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
                folders = [entry for entry in visible if entry.is_dir()]
        except OSError as error:
            raise _cannot_list(error) from error
        files = [entry for entry in visible if entry.name[entry.name.rfind(".") :].lower() in extensions]
        if folders:
            files = [entry for entry in files if not entry.is_dir()]
        yield from sorted(files, key=lambda entry: entry.name)
        if recursive:
            below = [entry for entry in folders if not entry.is_symlink()]
            pending += [
                entry.path for entry in sorted(below, key=lambda entry: natural_order(entry.name), reverse=True)
            ]


def natural_order(name: str) -> tuple[int, int, str]:
    """Sort key: names that are integers first, by value; then the others alphabetically."""
    return (0, int(name), name) if name.isascii() and name.isdigit() else (1, 0, name)


def walk_order(name: str) -> list[tuple[int, object]]:
    """Sort key of paths relative to a folder, in the order of `walk`."""
    *folders, file = name.split("/")
    return [*((1, natural_order(folder)) for folder in folders), (0, file)]


# --- folders of classes ----------------------------------------------------------------------------------------------


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
    table: Path | None = None  # that lists the images, each in one of its `lines`
    lines: tuple[int, ...] = ()
    table_fingerprint: str = ""  # equal for the same table

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
            lines=tuple(self.lines[i] for i in chosen) if self.lines else (),
        )

    @cached_property
    def _prefix(self) -> str:
        return str(self.root / "_").removesuffix("_")

    def path(self, i: int) -> str:
        """The path of image i; several times as fast as building a Path."""
        return self._prefix + self.stamps[i].name

    def located(self, i: int, error: InputError) -> InputError:
        """The error of reading image i, with the line of the table that lists it."""
        if self.table is None:
            return error
        return InputError(self.table, f"line {self.lines[i]}: {error.fault}", error.fix)


def list_folder(root: Path, content: Content = "images") -> FolderListing:
    """List the images or texts below `root`, without hidden ones.

    Raises InputError if `root` has no class folders, or naming a class folder without such files.
    """
    class_folders = _class_folders(root, content)
    if not any(class_folders.values()):
        raise InputError("--data", f"{root} has no class folders", _layout(content))
    classes = sorted({name for names in class_folders.values() for name in names}, key=class_order)
    stamps, labels, splits = list[FileStamp](), list[int](), list[str]()
    for split, names in class_folders.items():
        for name in sorted(names, key=class_order):
            found = _files(root, f"{split}/{name}" if split else name, content)
            stamps += found
            labels += [classes.index(name)] * len(found)
            splits += [SPLITS.get(split.lower(), "all")] * len(found)
    return FolderListing(root, tuple(stamps), tuple(labels), tuple(map(output.readable, classes)), tuple(splits))


def list_any_folder(root: Path) -> FolderListing:
    """The listing of `list_folder`, or without class folders that of all images below `root`, in one class.

    Raises InputError for a folder without images.
    """
    if any(_class_folders(root).values()):
        return list_folder(root)
    stamps = tuple(stamp._replace(name=stamp.name.lstrip("/")) for stamp in _files(root, ""))
    return FolderListing(root, stamps, (0,) * len(stamps), ("",), ("all",) * len(stamps))


def class_order(name: str) -> tuple[int, int, str]:
    """The place of a class, the same in every locale."""
    return natural_order(output.readable(name))


def _layout(content: Content) -> str:
    """What a folder is expected to contain."""
    file = content.removesuffix("s")
    return f"expected FOLDER/<class>/<{file}> or FOLDER/{{train,val,test}}/<class>/<{file}>"


def _class_folders(root: Path, content: Content = "images") -> dict[str, list[str]]:
    """The class folders of each split folder, or under "" those of a root without split folders."""
    names = _subfolders(root)
    splits = {name: below for name in names if name.lower() in SPLITS and (below := _subfolders(root / name))}
    others = [name for name in names if name.lower() not in SPLITS]
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
        raise _cannot_list(error) from error


def _files(root: Path, base: str, content: Content = "images") -> list[FileStamp]:
    """The files in the class folder `base`."""
    folder = root / base
    if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
        what = f"class folder {folder} is a link to its parent folder {folder.resolve()}"  # with all other classes
        raise InputError("--data", what, "remove the link")
    start = len(str(folder))
    extensions = EXTENSIONS if content == "images" else TEXTS
    stamps = [stamp_of(base + entry.path[start:], entry) for entry in walk(str(folder), extensions)]
    if not stamps:
        raise InputError("--data", f"class folder {folder} has no {content}", "add some, or remove the folder")
    return stamps


def stamp_of(name: str, entry: os.DirEntry[str] | Path) -> FileStamp:
    """The stamp of a file; of one that is missing as of one that is not regular."""
    try:
        status = entry.stat()
    except OSError:  # a broken link, which --skip-bad skips
        return FileStamp(name, -1, 0, 0)
    size = status.st_size if stat.S_ISREG(status.st_mode) else -1
    return FileStamp(name, size, status.st_mtime_ns, status.st_ino)


def _cannot_list(error: OSError) -> InputError:
    return unreadable(error.filename, error, "check its permissions")


# --- names of classes ------------------------------------------------------------------------------------------------


def with_class_names(listing: FolderListing, path: Path | None) -> FolderListing:
    """A listing whose classes have the names in a JSON file, such as the course's cat_to_name.json.

    Their order stays that of the folders. Raises InputError naming a folder without a name, and two with one name.
    """
    if path is None:
        return listing
    content = read_file(path, _LARGEST_NAMES, "use a JSON file of class names")
    try:
        names = parse_object(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        fix = 'write {"1": "pink primrose", "2": "tulip"}'
        raise InputError("--class-names", f"{path} is not a JSON object of names", fix) from error
    for folder, name in names.items():
        if not isinstance(name, str) or not name.strip():
            what = f"{path} has no text for the class folder '{folder}'"
            raise InputError("--class-names", what, "give it a name")
    if missing := [f"'{folder}'" for folder in listing.classes if folder not in names]:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        what = f"{path} has no name for the class folder {', '.join(missing[:_SHOWN])}{more}"
        raise InputError("--class-names", what, "add it to the file")
    named = renamed(listing, {folder: output.readable(name.strip()) for folder, name in names.items()})
    folders: dict[str, str] = {}  # by the name of the class
    for name, folder in zip(named.classes, listing.classes, strict=True):
        if (other := folders.setdefault(name, folder)) != folder:
            what = f"{path} gives the class folders '{other}' and '{folder}' the name '{name}'"
            raise InputError("--class-names", what, "use different names")
    return named


def renamed(listing: FolderListing, names: Mapping[str, str]) -> FolderListing:
    """A listing whose classes have other names, where there are any."""
    if not names:
        return listing
    return replace(listing, classes=tuple(names.get(name, name) for name in listing.classes), folders=listing.classes)
