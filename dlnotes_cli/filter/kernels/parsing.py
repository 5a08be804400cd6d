"""Parsing of kernels: by name, as numbers, or from a file. Errors name the row and the column."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlnotes_cli.filter.kernels.catalog import NAMES, WITH_SIGMA, WITH_SIZE, named_kernel
from dlnotes_cli.filter.kernels.kernel import Kernel
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import read_file, user_path
from dlnotes_cli.shell.parse import parse_matrix

_MAX_BYTES = 16 * 2**20
_FILE_EXTENSIONS = {".txt", ".csv", ".tsv", ".json"}
_COMMENT = re.compile(r"#[^\n]*")


def parse_kernels(
    arguments: Sequence[tuple[str, str]], *, size: int | None = None, sigma: float | None = None
) -> list[Kernel]:
    """The kernels of (option, value) pairs; a value is a kernel name, a matrix or a file. Equal names are numbered.

    `size` and `sigma` apply to the named kernels that have them. Raises InputError, with row and column if a matrix is
    wrong.
    """
    values = [value for _, value in arguments]
    _refuse_unused("--kernel-size", size, values, WITH_SIZE)
    _refuse_unused("--sigma", sigma, values, WITH_SIGMA)
    kernels: list[Kernel] = []
    for option, value in arguments:
        kernel = _parse_kernel(value, size, sigma, option)
        used = {other.name for other in kernels}
        names = (kernel.name, *(f"{kernel.name}-{i}" for i in range(2, len(values) + 2)))
        kernels.append(replace(kernel, name=next(name for name in names if name not in used)))
    return kernels


def _parse_kernel(text: str, size: int | None, sigma: float | None, option: str) -> Kernel:
    name = text.strip().lower()
    if name in NAMES:
        return named_kernel(name, size=size, sigma=sigma)
    path = user_path(text)
    if path.suffix.lower() in _FILE_EXTENSIONS or _is_file(path):
        return Kernel(path.stem, parse_matrix(_COMMENT.sub("", _read(path)), path), f"from {path}")
    if not name or re.search(r"[;\[\n,\s]", name) or re.match("[-+.\\d\N{MINUS SIGN}]", name):
        return Kernel("custom", parse_matrix(text, option), "custom weights")
    raise unknown_choice(option, text, NAMES, "kernel")


def _refuse_unused(option: str, value: float | None, kernels: Sequence[str], applicable: frozenset[str]) -> None:
    if value is not None and not applicable & {kernel.strip().lower() for kernel in kernels}:
        fix = f"leave it out, or use {', '.join(sorted(applicable))}"
        raise InputError(option, "applies to none of the kernels", fix)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a matrix can be too long for a file name
        return False


def _read(path: Path) -> str:
    content = read_file(path, _MAX_BYTES, "use a file with one kernel")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", "write the kernel as text, CSV or JSON") from error
