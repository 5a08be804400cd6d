"""From the words of a command line to files: names, folders, patterns, lists."""

import glob
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from dlnotes_cli.data.folder import find_pictures
from dlnotes_cli.errors import InputError


def expand_paths(words: Sequence[str], *, tables: bool) -> list[Path]:
    """The files that `words` name, in order: a folder gives the pictures below it, a pattern what it matches.

    Raises InputError where a word gives no file, where there are none at all, and for a CSV among pictures or a picture
    among tables.
    """
    found = [path for word in words for path in _expand(word)]
    if not found:
        raise InputError("PATH", "no input given", "name files, folders or patterns, or pass --files-from")
    for path in found:
        if (path.suffix.lower() in {".csv", ".tsv"}) != tables:
            have, need = ("a CSV table", "pictures") if not tables else ("not a CSV table", "rows of a CSV table")
            raise InputError(path, f"is {have}; the model was trained on {need}", "give matching input")
    return found


def read_list(source: str) -> list[str]:
    """The lines of a list of paths, blank ones dropped; `-` is stdin."""
    if source == "-":
        return _lines(sys.stdin)
    try:
        with Path(source).expanduser().open(encoding="utf-8") as stream:
            return _lines(stream)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError("--files-from", f"{source} cannot be read ({reason})", "check the path") from error


def _expand(word: str) -> Iterable[Path]:
    path = Path(word).expanduser()
    if path.is_dir():
        found = list(find_pictures(path))
        if not found:
            raise InputError(path, "a folder without pictures", "give another folder")
        return found
    if not path.exists() and glob.has_magic(word):
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # patterns may be absolute
        if not matches:
            raise InputError(word, "the pattern matches nothing", "check it")
        return [Path(match) for match in matches]
    return [path]


def _lines(stream: Iterable[str]) -> list[str]:
    return [line.strip() for line in stream if line.strip()]
