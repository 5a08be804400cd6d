"""What one call of `filter` reads and writes: its images, and from `--out` and `--format` a path for every result."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dlnotes_cli.data.images.image_io import FORMATS, sample_image
from dlnotes_cli.data.paths import expand_argument, read_image_from_stdin
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path


class FilterInput(NamedTuple):
    """An image to read; `subfolder` is where it lies relative to the folder that the user named."""

    path: Path
    subfolder: Path = Path()
    content: bytes | None = None  # read from standard input


class OutputFile(NamedTuple):
    """A file to write and the indices of the kernel chains whose results it shows side by side.

    Without a path it is standard output.
    """

    path: Path | None
    format: str  # a value of FORMATS
    chains: tuple[int, ...]


def find_inputs(config: FilterConfig) -> list[FilterInput]:
    """The images of `config.paths` in order, each once; without paths an image of scikit-learn.

    Raises InputError if a path yields no image, or if standard input is empty or named twice.
    """
    if not config.paths:
        return [FilterInput(sample_image("china.jpg", "PATH"))]
    inputs: dict[FilterInput, None] = {}
    for argument in config.paths:
        if argument == "-":
            content = read_image_from_stdin(config.paths, "dlnotes filter -")
            inputs[FilterInput(Path("stdin"), content=content)] = None
        else:
            found = expand_argument(argument, recursive=config.recursive, only_files=True)
            inputs |= dict.fromkeys(FilterInput(*file) for file in found)
    return list(inputs)


def plan_outputs(config: FilterConfig, inputs: Sequence[FilterInput], names: Sequence[str]) -> list[list[OutputFile]]:
    """The output files of each input; `names` are those of the kernel chains.

    Everything is checked and nothing created. Raises InputError for a file extension without a format, for a file that
    exists without `--overwrite`, for a folder that cannot be written to, and if two results have one path.
    """
    if config.sheet is not None and len(inputs) > 1:
        raise InputError("--sheet", f"shows one image, got {len(inputs)}", "name one image, or leave --sheet out")
    if config.out == "-":
        if len(inputs) > 1:
            raise InputError("--out", f"- writes one image, got {len(inputs)}", "use a folder or a pattern")
        extension = config.format or ("npy" if config.result == "raw" else "png")
        plan = [[OutputFile(None, FORMATS[f".{extension}"], tuple(range(len(names))))]]
    elif config.out is None and config.sheet is not None:
        plan = [[]]
    else:
        plan = [list(_outputs_of(config, image, i, len(inputs), names)) for i, image in enumerate(inputs, 1)]
    _check(config, [file for outputs in plan for file in outputs])
    return plan


def _outputs_of(
    config: FilterConfig, image: FilterInput, number: int, count: int, names: Sequence[str]
) -> Iterator[OutputFile]:
    """The output files of one input, the `number`-th of `count`: a file, or one for each chain with `{kernel}`."""
    extension = f".{config.format}" if config.format else ".npy" if config.result == "raw" else ""
    pattern, folder = config.out or f"{{name}}-{{kernel}}{extension or '.png'}", Path()
    if _is_folder(config.out):
        folder = user_path(str(config.out)) / image.subfolder
        own = image.path.suffix if image.path.suffix.lower() in FORMATS else ".png"
        pattern = f"{{name}}{'-{kernel}' if len(names) > 1 else ''}{extension or own}"
    elif "{" not in pattern and count > 1:
        raise InputError("--out", f"{pattern} is one file for {count} images", "use a folder, or a pattern with {name}")
    values = {"name": image.path.stem, "index": f"{number:0{len(str(count))}}", "kernel": ""}
    unknown = set(re.findall(r"\{([^{}]*)\}", pattern)) - set(values)
    if unknown:
        raise InputError("--out", f"unknown placeholder {{{min(unknown)}}}", "use {name}, {kernel} and {index}")
    every_chain = tuple(range(len(names)))
    for chains in [(i,) for i in every_chain] if "{kernel}" in pattern else [every_chain]:
        values["kernel"] = names[chains[0]]
        pieces = re.split(r"\{(name|index|kernel)\}", pattern)
        path = folder / user_path("".join(values.get(piece, piece) for piece in pieces))
        yield OutputFile(path, _format_of(path, config.format), chains)


def _format_of(path: Path, requested: str | None) -> str:
    """The image format of a path's extension. Raises InputError if it has none or not the requested one."""
    format_ = FORMATS.get(path.suffix.lower())
    if format_ is None:
        fix = f"use {', '.join(FORMATS)}, or a folder"
        raise InputError("--out", f"no image format has the file extension '{path.suffix}'", fix)
    if requested is not None and FORMATS[f".{requested}"] != format_:
        raise InputError("--format", f"{requested} contradicts the file extension of {path}", "leave one of them out")
    return format_


def _is_folder(out: str | None) -> bool:
    if out is None or "{" in out:
        return False
    path = user_path(out)
    return path.is_dir() or out.endswith("/") or not path.suffix


def _check(config: FilterConfig, outputs: Sequence[OutputFile]) -> None:
    """Raise InputError for an output file, or a sheet, that cannot be written as the options ask for."""
    pixels = next((file.format for file in outputs if file.format != "NPY"), None)
    if config.result == "raw" and pixels is not None:
        fix = "use .npy, show them with --sheet, or choose --result signed"
        raise InputError("--result", f"raw values do not fit into the pixels of {pixels}", fix)
    paths: set[Path] = set()
    for path in (file.path for file in outputs if file.path is not None):
        if path in paths:
            fix = "use a pattern with {name}, {kernel} and {index}"
            raise InputError("--out", f"two results have the path {path}", fix)
        paths.add(path)
        if path.exists():
            files.check_output_file("--out", path, overwrite=config.overwrite)
    root = user_path(str(config.out)) if _is_folder(config.out) else None
    for folder in {path.parent for path in paths}:
        while root is not None and folder != root.parent and not folder.exists():  # which will be created
            folder = folder.parent  # noqa: PLW2901
        files.check_writable_folder("--out", folder)
    if config.sheet is not None:
        files.check_output_file("--sheet", config.sheet, overwrite=config.overwrite)
        if config.sheet.resolve() in {path.resolve() for path in paths}:
            raise InputError("--sheet", f"{config.sheet} is also the file of the result", "name another file")
