"""Which files below a folder are images or texts, by their names; light, so that a command starts at once."""

import os
from collections.abc import Iterator
from pathlib import Path

from dlnotes_cli.shell.errors import InputError, unreadable

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
TEXTS = frozenset({".txt", ".text", ".md", ".rst", ".tex"})


def find_images(path: Path) -> Iterator[Path]:
    """All images below a folder, in a fixed order, hidden entries passed over."""
    yield from (Path(entry.path) for entry in walk(str(path)))


def walk(root: str, extensions: frozenset[str] = EXTENSIONS) -> Iterator[os.DirEntry[str]]:
    """The images below a folder, its own before those of its sub-folders; links to folders are not followed.

    Or the files with other `extensions`, in small letters with their dot.
    """
    pending = [root]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                seen = [entry for entry in entries if not entry.name.startswith(".")]
                folders = [entry for entry in seen if entry.is_dir()]
        except OSError as error:
            raise unlisted(error) from error
        below = [entry for entry in folders if not entry.is_symlink()]
        pending += [entry.path for entry in sorted(below, key=lambda entry: natural_order(entry.name), reverse=True)]
        found = [entry for entry in seen if entry.name[entry.name.rfind(".") :].lower() in extensions]
        if folders:
            found = [entry for entry in found if not entry.is_dir()]
        yield from sorted(found, key=lambda entry: entry.name)


def natural_order(name: str) -> tuple[int, int, str]:
    """A key that sorts names which are numbers by their value, before all others."""
    return (0, int(name), name) if name.isascii() and name.isdigit() else (1, 0, name)


def unlisted(error: OSError) -> InputError:
    """What to say of a folder that cannot be listed."""
    return unreadable(error.filename, error, "check its permissions")
