"""Find image and text files below a folder by their suffixes; imports nothing heavy, as commands use it at start-up."""

import os
from collections.abc import Iterator
from pathlib import Path

from dlnotes_cli.shell.errors import InputError, unreadable

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
TEXTS = frozenset({".txt", ".text", ".md", ".rst", ".tex"})


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
            raise cannot_list(error) from error
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


def cannot_list(error: OSError) -> InputError:
    """The error for a folder that cannot be listed."""
    return unreadable(error.filename, error, "check its permissions")
