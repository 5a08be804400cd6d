"""From the words of a command line to files: names, folders, patterns, lists."""

import codecs
import glob
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from dlnotes_cli.data.walk import find_images
from dlnotes_cli.shell.errors import InputError, reason, unreadable
from dlnotes_cli.shell.files import user_path

TABLES = frozenset({".csv", ".tsv"})
_LONGEST_LIST = 1 << 28  # bytes


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths name one place, which may not be there yet."""
    return one.absolute() == other.absolute() or (one.exists() and other.exists() and one.samefile(other))


def expand_paths(words: Sequence[str], *, tables: bool) -> list[Path]:
    """The files that `words` name, in order: a folder gives the images below it, a pattern what it matches.

    Raises InputError where a word gives no file, where there are none at all, and for a CSV among images or an image
    among tables.
    """
    found = [path for word in words for path in _expand(word)]
    if not found:
        raise InputError("PATH", "no input given", "name files, folders or patterns, or pass --files-from")
    for path in found:
        if (path.suffix.lower() in TABLES) != tables:
            have, need = ("a CSV table", "images") if not tables else ("not a CSV table", "rows of a CSV table")
            raise InputError(path, f"is {have}; the model was trained on {need}", "give matching input")
    return found


def read_list(source: str) -> list[str]:
    """The lines of a list of paths, blank ones dropped; `-` is stdin. Raises InputError where it cannot be read."""
    try:
        if source == "-":
            content = sys.stdin.buffer.read(_LONGEST_LIST + 1)
        else:
            with user_path(source).open("rb") as stream:
                content = stream.read(_LONGEST_LIST + 1)
    except OSError as error:
        raise InputError("--files-from", f"{source} cannot be read ({reason(error)})", "check the path") from error
    if len(content) > _LONGEST_LIST:
        raise InputError("--files-from", f"{source} is longer than {_LONGEST_LIST:,} bytes", "give a list of paths")
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    return [os.fsdecode(line.strip()) for line in lines if line.strip()]


def check_regular(path: Path) -> None:
    """Refuse a pipe or a device, which could give bytes without end or never one.

    A folder, and a file that is missing, are left to whoever opens it.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(path, "is not a plain file", "save to a file what comes through a pipe")


def _expand(word: str) -> Iterable[Path]:
    path = user_path(word)
    try:
        is_pattern = not path.exists() and glob.has_magic(word)
    except OSError as error:
        raise unreadable(path, error) from error
    if not is_pattern:
        return _files(path)
    matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # patterns may be absolute
    if not matches:
        raise InputError(word, "the pattern matches nothing", "check it")
    return dict.fromkeys(file for match in matches for file in _files(Path(match)))  # `**` gives folder and files


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = list(find_images(path))
    if not found:
        raise InputError(path, "a folder without images", "give another folder")
    return found
