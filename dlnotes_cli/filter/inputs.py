"""The images that `filter` reads: from files, folders, patterns and standard input."""

import glob
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dlnotes_cli.data.images.samples import sample_photo
from dlnotes_cli.data.walk import EXTENSIONS, find_images
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path

_MAX_STDIN_BYTES = 2**31


@dataclass(frozen=True)
class InputImage:
    """An image to read; `subfolder` is where it lies relative to the folder that the user named."""

    path: Path
    subfolder: Path = Path()
    content: bytes | None = None  # read from standard input


def find_inputs(config: FilterConfig) -> list[InputImage]:
    """The images of `config.paths` in order, each once; without paths a photo of scikit-learn.

    Raises InputError if a path yields no image, or if standard input is empty or named twice.
    """
    if not config.paths:
        return [InputImage(sample_photo("china.jpg", "PATH"))]
    if config.paths.count("-") > 1:
        raise InputError("PATH", "- is standard input, which can be read only once", "name it once")
    inputs = [image for argument in config.paths for image in _inputs_of(argument, is_recursive=config.recursive)]
    return list(dict.fromkeys(inputs))


def _inputs_of(argument: str, *, is_recursive: bool) -> Iterator[InputImage]:
    if argument == "-":
        yield InputImage(Path("stdin"), content=_read_stdin())
        return
    named = user_path(argument)
    is_folder = named.is_dir()
    for path in _expand(argument, is_recursive=is_recursive):
        yield InputImage(path, path.parent.relative_to(named) if is_folder else Path())


def _expand(argument: str, *, is_recursive: bool) -> list[Path]:
    """The files that an argument names: those of a folder, those that match a pattern, or one, which may be missing.

    Raises InputError if a folder has no images or a pattern matches no file.
    """
    path = user_path(argument)
    if path.is_dir():
        return _images_in(path, is_recursive=is_recursive)
    if path.exists() or not glob.has_magic(argument):
        return [path]
    matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # patterns may be absolute
    files = [Path(match) for match in matches if Path(match).is_file()]
    if not files:
        raise InputError(argument, "the pattern matches no file", "check it")
    return files


def _images_in(folder: Path, *, is_recursive: bool) -> list[Path]:
    if is_recursive:
        images = list(find_images(folder))
    else:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        images = [entry for entry in entries if entry.suffix.lower() in EXTENSIONS and entry.is_file()]
    if not images:
        fix = "name another folder" if is_recursive else "name another folder, or add --recursive"
        raise InputError(folder, "the folder has no images", fix)
    return images


def _read_stdin() -> bytes:
    content = sys.stdin.buffer.read(_MAX_STDIN_BYTES) if sys.stdin else b""  # None if the process has no stdin
    if not content:
        raise InputError("stdin", "is empty", "send an image, as in `dlnotes filter - < photo.jpg`")
    return content
