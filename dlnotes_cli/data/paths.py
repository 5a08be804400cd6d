"""Paths: input files from command-line arguments, and the user's cache folder."""

import codecs
import glob
import gzip
import io
import os
import stat
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from dlnotes_cli.data.listing import find_images
from dlnotes_cli.data.options import NAMED_SETS, TABLE_SUFFIXES
from dlnotes_cli.shell.errors import InputError, nearest, unreadable
from dlnotes_cli.shell.files import read_file, read_stdin, user_path

DataKind = Literal["named", "folder", "table"]
_GZIP = b"\x1f\x8b"  # how a gzip file begins
_LONGEST_LIST = 1 << 28  # bytes
_LONGEST_IMAGE = 1 << 31


class InputFile(NamedTuple):
    """A file that an argument names; `subfolder` is its folder relative to a folder argument, otherwise empty."""

    path: Path
    subfolder: Path = Path()


def cache_folder() -> Path:
    """The user's cache: $DLNOTES_CACHE, else the place for caches on this system; it may not exist yet."""
    if own := os.environ.get("DLNOTES_CACHE"):
        return Path(own)
    from platformdirs import user_cache_path

    folder = user_cache_path("dlnotes", appauthor=False)
    if not folder.is_absolute():
        raise InputError("$DLNOTES_CACHE", "not set, and there is no home folder", "set it to a folder")
    return folder


def kind_of(data: str, where: str = "--data", sets: Collection[str] = NAMED_SETS) -> DataKind:
    """What `--data`, or the argument `where`, names: one of the named `sets`, a folder or a table.

    A named set has priority over a folder of its name, which `./NAME` still reaches.

    Raises InputError if there is no such set, folder or table.
    """
    if data in sets:
        return "named"
    path = user_path(data)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise unreadable(path, error) from error
    if is_folder:
        return "folder"
    if is_file and path.suffix.lower() in TABLE_SUFFIXES:
        return "table"
    if is_file:
        raise InputError(where, f"{path} is neither a folder nor a CSV file", "give a named set, a folder or a .csv")
    check_regular(path)
    if any(mark in data for mark in "/\\."):
        raise InputError(path, "no such file or folder", "check the path")
    near = nearest(data, sets)
    hint = f"did you mean '{near}'? " if near else ""
    what = f"'{data}' is neither a named data set nor a folder"
    raise InputError(where, what, f"{hint}choose from {', '.join(sets)}, or give a folder")


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths name the same file or folder, which may not exist yet."""
    if one.absolute() == other.absolute():
        return True
    return os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)  # noqa: PTH110, PTH121  # no errors


def check_not_input(option: str, output: Path, inputs: Iterable[Path]) -> None:
    """Raise InputError if the file `output` is one of `inputs`, also by way of a link."""
    if output.exists() and any(is_same(output, path) for path in inputs):
        raise InputError(option, f"{output} is an input of the command", "name another file")


def expand_paths(arguments: Sequence[str], *, tables: bool) -> list[Path]:
    """The files that arguments name, in order: a folder stands for the images below it, a pattern for its matches.

    Raises InputError for an argument without files, for no files at all, and for a CSV table among images or an image
    among tables.
    """
    paths = [file.path for argument in arguments for file in expand_argument(argument)]
    if not paths:
        raise InputError("PATH", "no input given", "name files, folders or patterns, or pass --files-from")
    for path in paths:
        if (path.suffix.lower() in TABLE_SUFFIXES) != tables:
            have, need = ("a CSV table", "images") if not tables else ("not a CSV table", "rows of a CSV table")
            fix = "give a CSV table" if tables else "give images, or pass --image-column if the table lists them"
            raise InputError(path, f"is {have}; the model was trained on {need}", fix)
    return paths


def expand_argument(argument: str, *, recursive: bool = True, only_files: bool = False) -> Iterator[InputFile]:
    """The files that one argument names: a file itself, the images of a folder, or the matches of a glob pattern.

    A path that exists is never read as a pattern, and a path without `*?[` need not exist. `recursive` includes the
    images of subfolders; each file has its subfolder, so that an output folder can repeat the tree. With `only_files`
    a pattern skips the folders it matches, otherwise they stand for their images. `predict` uses the defaults;
    `filter` passes `recursive=config.recursive, only_files=True` and handles `-` itself.

    Raises InputError for a folder without images and for a pattern without matches.
    """
    path = user_path(argument)
    try:
        is_pattern = not path.exists() and glob.has_magic(argument)
    except OSError as error:
        raise unreadable(path, error) from error
    if not is_pattern:
        yield from _files_of(path, recursive=recursive)
        return
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207  # absolute too
    matches = [match for match in matches if not only_files or match.is_file()]
    if not matches:
        raise InputError(argument, "the pattern matches no file", "check it")
    files = (file.path for match in matches for file in _files_of(match, recursive=recursive))
    yield from map(InputFile, dict.fromkeys(files))  # `**` matches a folder and its files


def read_list(source: str) -> list[str]:
    """The lines of a list of paths without blank ones; `-` is stdin. Raises InputError if it cannot be read."""
    shorter, instead = "give a list of paths", "pass - to read standard input"
    if source == "-":
        content = read_stdin(_LONGEST_LIST, shorter)
    else:
        content = read_file(user_path(source), _LONGEST_LIST, shorter, instead)
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    return [os.fsdecode(line.strip()) for line in lines if line.strip()]


def read_image_from_stdin(arguments: Sequence[str], example: str) -> bytes:
    """The image on standard input, which one of the arguments names as `-`.

    Raises InputError if it is empty or named twice.
    """
    if arguments.count("-") > 1:
        raise InputError("PATH", "- is standard input, which can be read only once", "name it once")
    content = read_stdin(_LONGEST_IMAGE, "send a smaller image")
    if not content:
        raise InputError("stdin", "is empty", f"send an image, as in `{example} < photo.jpg`")
    return content


def unzipped(path: Path, content: bytes, most: int, fix: str) -> bytes:
    """The content of a file that may be compressed by gzip.

    Raises InputError naming `path` if it is damaged, or has more than `most` bytes uncompressed.
    """
    if not content.startswith(_GZIP):
        return content
    try:
        plain = gzip.GzipFile(fileobj=io.BytesIO(content)).read(most + 1)  # to the end, where the checksum is
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        what = "is truncated" if isinstance(error, EOFError) else f"is damaged ({error})"
        raise InputError(path, what, fix) from error
    if len(plain) > most:
        raise InputError(path, f"has more than {most:,} bytes uncompressed", fix)
    return plain


def check_regular(path: Path) -> None:
    """Raise InputError for a pipe, socket or device, which may block or never end.

    Folders and missing files pass: opening them reports the error.
    """
    with suppress(OSError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(path, "is not a regular file", "save its content to a file first")


def _files_of(path: Path, *, recursive: bool) -> Iterator[InputFile]:
    if not path.is_dir():
        yield InputFile(path)
        return
    images = list(find_images(path, recursive=recursive))
    if not images:
        fix = "name another folder" if recursive else "name another folder, or add --recursive"
        raise InputError(path, "the folder has no images", fix)
    yield from (InputFile(image, image.parent.relative_to(path)) for image in images)
