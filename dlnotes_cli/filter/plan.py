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

_DEFAULT_PATTERN = "{name}-{kernel}"


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


class OutputFile(NamedTuple):
    """A file to write and the indices of the kernel chains whose results it shows side by side.

    Without a path it is standard output.
    """

    path: Path | None
    format: str  # a value of FORMATS
    chains: tuple[int, ...]


def plan_outputs(config: FilterConfig, inputs: Sequence[FilterInput], names: Sequence[str]) -> list[list[OutputFile]]:
    """The output files of each input; `names` are those of the kernel chains.

    Everything is checked and nothing created. Raises InputError for a file extension without a format, for a file that
    exists without `--overwrite`, for a folder that cannot be written to, and if two results have one path.
    """
    if config.out == "-":
        if len(inputs) > 1:
            raise InputError("--out", f"- writes one image, got {len(inputs)}", "use a folder or a pattern")
        format_ = FORMATS[f".{config.format or _default_format(config)}"]
        _check_raw(config, [format_])
        return [[OutputFile(None, format_, tuple(range(len(names))))]]
    if config.out is None and config.sheet is not None:
        return [[] for _ in inputs]
    plan = [list(_outputs_of(config, image, i, len(inputs), names)) for i, image in enumerate(inputs, 1)]
    _check_raw(config, [output.format for outputs in plan for output in outputs])
    paths = [output.path for outputs in plan for output in outputs if output.path]
    _check_files(paths, overwrite=config.overwrite)
    is_folder = config.out is not None and "{" not in config.out and _is_folder(config.out)
    _check_folders(paths, user_path(str(config.out)) if is_folder else None)
    return plan


def make_folders(config: FilterConfig, plan: Sequence[Sequence[OutputFile]]) -> None:
    """Create the folder that `--out` names and its subfolders."""
    root = user_path(str(config.out))
    for folder in dict.fromkeys(output.path.parent for outputs in plan for output in outputs if output.path):
        for missing in reversed([parent for parent in (folder, *folder.parents) if not parent.exists()]):
            if missing == root or root in missing.parents:
                files.make_folder("--out", missing)


def _outputs_of(
    config: FilterConfig, image: FilterInput, index: int, count: int, names: Sequence[str]
) -> Iterator[OutputFile]:
    """The output files of one input, the `index`-th of `count`."""
    out = config.out
    extension = f".{config.format}" if config.format else ".npy" if config.result == "raw" else None
    if out is None:
        out = f"{_DEFAULT_PATTERN}{extension or '.png'}"
    if "{" in out:
        yield from _outputs_by_pattern(out, image, f"{index:0{len(str(count))}}", names, config.format)
    elif _is_folder(out):
        yield from _outputs_in_folder(user_path(out), image, names, extension)
    elif count > 1:
        raise InputError("--out", f"{out} is one file for {count} images", "use a folder, or a pattern with {name}")
    else:
        path = user_path(out)
        yield OutputFile(path, _format_of(path, config.format), tuple(range(len(names))))


def _outputs_in_folder(
    folder: Path, image: FilterInput, names: Sequence[str], extension: str | None
) -> Iterator[OutputFile]:
    own_extension = image.path.suffix if image.path.suffix.lower() in FORMATS else ".png"
    for i, name in enumerate(names):
        stem = image.path.stem if len(names) == 1 else f"{image.path.stem}-{name}"
        path = folder / image.subfolder / f"{stem}{extension or own_extension}"
        yield OutputFile(path, _format_of(path), (i,))


def _outputs_by_pattern(
    pattern: str, image: FilterInput, index: str, names: Sequence[str], requested_format: str | None
) -> Iterator[OutputFile]:
    every_chain = tuple(range(len(names)))
    for chains in [(i,) for i in every_chain] if "{kernel}" in pattern else [every_chain]:
        values = {"name": image.path.stem, "index": index, "kernel": names[chains[0]]}
        unknown = set(re.findall(r"\{([^{}]*)\}", pattern)) - set(values)
        if unknown:
            raise InputError("--out", f"unknown placeholder {{{min(unknown)}}}", "use {name}, {kernel} and {index}")
        pieces = re.split(r"\{(name|index|kernel)\}", pattern)
        path = user_path("".join(values.get(piece, piece) for piece in pieces))
        yield OutputFile(path, _format_of(path, requested_format), chains)


def _format_of(path: Path, requested: str | None = None) -> str:
    """The image format of a path's extension. Raises InputError if it has none or not the requested one."""
    format_ = FORMATS.get(path.suffix.lower())
    if format_ is None:
        fix = f"use {', '.join(FORMATS)}, or a folder"
        raise InputError("--out", f"no image format has the file extension '{path.suffix}'", fix)
    if requested is not None and FORMATS[f".{requested}"] != format_:
        raise InputError("--format", f"{requested} contradicts the file extension of {path}", "leave one of them out")
    return format_


def _default_format(config: FilterConfig) -> str:
    return "npy" if config.result == "raw" else "png"


def _check_raw(config: FilterConfig, formats: Sequence[str]) -> None:
    """Raise InputError for `--result raw` and a format that holds pixels from 0 to white only."""
    pixels = next((format_ for format_ in formats if format_ != "NPY"), None)
    if config.result == "raw" and pixels is not None:
        fix = "use .npy, show them with --sheet, or choose --result signed"
        raise InputError("--result", f"raw values do not fit into the pixels of {pixels}", fix)


def _is_folder(out: str) -> bool:
    path = user_path(out)
    return path.is_dir() or out.endswith("/") or not path.suffix


def _check_files(paths: Sequence[Path], *, overwrite: bool) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path in seen:
            fix = "use a pattern with {name}, {kernel} and {index}"
            raise InputError("--out", f"two results have the path {path}", fix)
        seen.add(path)
        if path.exists():
            files.check_output_file("--out", path, overwrite=overwrite)


def _check_folders(paths: Sequence[Path], root: Path | None) -> None:
    """Check that every folder can be written to; `root` and its subfolders may be missing, for they are created."""
    for folder in dict.fromkeys(path.parent for path in paths):
        parents = () if root is None else (folder, *folder.parents)
        existing = next((p for p in parents if p.exists() or p == root.parent), folder)  # type: ignore[union-attr]
        files.check_writable_folder("--out", existing)
