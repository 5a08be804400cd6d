"""The images that `filter` reads: from files, folders, patterns and standard input."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dlnotes_cli.data.images.sample_images import sample_image
from dlnotes_cli.data.paths import expand_argument, read_image_from_stdin
from dlnotes_cli.filter.options import FilterConfig


class FilterInput(NamedTuple):
    """An image to read; `subfolder` is where it lies relative to the folder that the user named."""

    path: Path
    subfolder: Path = Path()
    content: bytes | None = None  # read from standard input


def find_inputs(config: FilterConfig) -> list[FilterInput]:
    """The images of `config.paths` in order, each once; without paths an image of scikit-learn.

    Raises InputError if a path yields no image, or if standard input is empty or named twice.
    """
    if not config.paths:
        return [FilterInput(sample_image("china.jpg", "PATH"))]
    stdin = read_image_from_stdin(config.paths, "dlnotes filter -") if "-" in config.paths else b""
    inputs = [image for argument in config.paths for image in _inputs_of(argument, stdin, recursive=config.recursive)]
    return list(dict.fromkeys(inputs))


def _inputs_of(argument: str, stdin: bytes, *, recursive: bool) -> Iterator[FilterInput]:
    if argument == "-":
        yield FilterInput(Path("stdin"), content=stdin)
        return
    for file in expand_argument(argument, recursive=recursive, only_files=True):
        yield FilterInput(file.path, file.subfolder)
