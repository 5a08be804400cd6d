"""The files that `explain` writes: an image with its heat and a map for every image and class."""

import re
from collections.abc import Collection, Iterable
from itertools import product
from pathlib import Path
from typing import NamedTuple

from dlnotes_cli.data.images.image_io import FORMATS
from dlnotes_cli.data.paths import InputFile, check_not_input
from dlnotes_cli.explain.options import ExplainConfig
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError

_LONGEST_CLASS = 60  # characters of a class in a file name


class OutputFiles(NamedTuple):
    """Where the results of an image and class are written."""

    out: Path | None
    map: Path | None


def plan_outputs(config: ExplainConfig, inputs: Collection[InputFile]) -> dict[tuple[Path, str], OutputFiles]:
    """The files of each image and value of `--class`; folders are made when they are needed.

    Raises InputError for a path that exists, cannot be written, is an input, or belongs to two results.
    """
    is_file = config.out is not None and config.out.suffix.lower() in FORMATS and not config.out.is_dir()
    count = len(inputs) * len(config.classes)
    if is_file and count > 1:
        raise InputError("--out", f"{config.out} is one file for {count} maps", "give a folder")
    if is_file and config.out is not None and config.out.suffix.lower() == ".npy":
        raise InputError("--out", "writes images", "use --maps FOLDER for the values of a map")
    planned = {}
    for file, name in product(inputs, config.classes):
        stem = str(file.subfolder / file.path.stem)
        if len(config.classes) > 1:
            safe = re.sub(r"[^\w.-]+", "_", name).strip("_.")[:_LONGEST_CLASS] or "class"
            stem = f"{stem}-{safe}"
        out = config.out if is_file or config.out is None else config.out / f"{stem}.png"
        planned[file.path, name] = OutputFiles(out, None if config.maps is None else config.maps / f"{stem}.npy")
    sources = [file.path for file in inputs]
    for option, root, paths in (
        ("--out", None if is_file else config.out, [one.out for one in planned.values()]),
        ("--maps", config.maps, [one.map for one in planned.values()]),
        ("--sheet", None, [config.sheet_file]),
    ):
        _check(option, root, [path for path in paths if path is not None], sources, overwrite=config.overwrite)
    return planned


def _check(option: str, root: Path | None, paths: Iterable[Path], sources: list[Path], *, overwrite: bool) -> None:
    """Raise InputError where the files of an option, in its folder `root` if it names one, cannot be written."""
    if root is not None and root.exists() and not root.is_dir():
        raise InputError(option, f"{root} is a file", f"give a folder, or an image file ({', '.join(FORMATS)})")
    seen: set[Path] = set()
    for path in paths:
        if path in seen:
            raise InputError(option, f"two results have the path {path}", "explain these images one at a time")
        seen.add(path)
        if root is None or path.exists():
            files.check_output_file(option, path, overwrite=overwrite)
        check_not_input(option, path, sources)
    if root is not None:
        existing = next(parent for parent in (root, *root.absolute().parents) if parent.exists())
        files.check_writable_folder(option, existing)
