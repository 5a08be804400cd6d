"""The images that `filter` reads: from files, folders, patterns and standard input."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dlnotes_cli.data.images.sample_images import sample_image
from dlnotes_cli.data.paths import expand_argument
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell.errors import InputError

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
        return [InputImage(sample_image("china.jpg", "PATH"))]
    if config.paths.count("-") > 1:
        raise InputError("PATH", "- is standard input, which can be read only once", "name it once")
    inputs = [image for argument in config.paths for image in _inputs_of(argument, recursive=config.recursive)]
    return list(dict.fromkeys(inputs))


def _inputs_of(argument: str, *, recursive: bool) -> Iterator[InputImage]:
    if argument == "-":
        yield InputImage(Path("stdin"), content=_read_stdin())
        return
    for file in expand_argument(argument, recursive=recursive, only_files=True):
        yield InputImage(file.path, file.subfolder)


def _read_stdin() -> bytes:
    content = sys.stdin.buffer.read(_MAX_STDIN_BYTES) if sys.stdin else b""  # None if the process has no stdin
    if not content:
        raise InputError("stdin", "is empty", "send an image, as in `dlnotes filter - < photo.jpg`")
    return content
