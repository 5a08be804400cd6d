"""Lists of images: tables with a column of files, one of their classes and perhaps one of their splits."""

import os
from pathlib import Path

from dlnotes_cli.data.listing import SPLITS, FileStamp, FolderListing, class_order, list_folder, stamp_of, walk_order
from dlnotes_cli.data.options import DatasetOptions, LabelColumns
from dlnotes_cli.data.table import Table, read_table
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path


def listing_of(options: DatasetOptions) -> FolderListing:
    """The images that the options of a training command name: a folder of classes, or a list."""
    return list_data(options.data, options.labels)


def list_data(data: str, columns: LabelColumns | None) -> FolderListing:
    """The images of a folder of classes, or with `columns` those that a table lists."""
    path = user_path(data)
    return list_folder(path) if columns is None else list_labels(path, columns)


def list_labels(path: Path, columns: LabelColumns) -> FolderListing:
    """The images that a table lists, in the order in which `list_folder` has the same files in class folders.

    A file that is missing is reported where it is read, as a broken link of a folder is. Raises InputError naming the
    line of an empty cell, of an unknown split and of a repeated file.
    """
    cells = read_table(path)
    root = root_of(path, columns.root)
    names = image_names(cells, columns.image, root)
    if columns.target is None:
        what = f"does not name the column of {path} that has the classes"
        raise InputError("--target", what, f"choose from {', '.join(cells.header)}")
    labels = [output.readable(cell) for cell in cells.filled(columns.target, "--target")]
    splits = ["all"] * len(names) if columns.split is None else _splits(cells, columns.split)
    first: dict[str, int] = {}
    for name, line in zip(names, cells.lines, strict=True):
        if first.setdefault(name, line) != line:
            what = f"line {line}: '{name}' is in line {first[name]}, too"
            raise InputError(path, what, "drop one of the lines")
    classes = sorted(set(labels), key=class_order)
    position = {name: i for i, name in enumerate(classes)}
    rows = sorted(range(len(names)), key=lambda i: (splits[i], position[labels[i]], walk_order(names[i])))
    stamps: list[FileStamp] = [stamp_of(names[i], root / names[i]) for i in rows]
    return FolderListing(
        root, tuple(stamps), tuple(position[labels[i]] for i in rows), tuple(classes),
        tuple(splits[i] for i in rows), table=path, lines=tuple(cells.lines[i] for i in rows),
        table_fingerprint=cells.fingerprint,
    )  # fmt: skip


def listed_images(path: Path, column: str, root: str | None) -> list[Path]:
    """The files that a table lists, in its order. Raises InputError naming the line of an empty cell."""
    folder = root_of(path, root)
    return [folder / name for name in image_names(read_table(path), column, folder)]


def image_names(cells: Table, column: str, root: Path) -> list[str]:
    """The paths of a column, relative to `root`, without `.` and `..` between names."""
    names = cells.filled(column, "--image-column")
    return [os.path.relpath(name, root) if os.path.isabs(name) else os.path.normpath(name) for name in names]  # noqa: PTH117


def root_of(path: Path, root: str | None) -> Path:
    """The folder that the paths of a table are relative to."""
    folder = path.parent if root is None else user_path(root)
    if not folder.is_dir():
        raise InputError("--image-root", f"no folder {folder}", "name the folder of the images")
    return folder


def _splits(cells: Table, column: str) -> list[str]:
    """The split of each row: train, val or test, also by the names that split folders may have."""
    names = cells.filled(column, "--split-column")
    for line, name in zip(cells.lines, names, strict=True):
        if name.lower() not in SPLITS:
            what = f"line {line}: column '{column}': unknown split '{name}'"
            raise InputError(cells.path, what, "use train, val or test")
    return [SPLITS[name.lower()] for name in names]
