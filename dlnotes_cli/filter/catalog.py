"""Kernels by name, with weights and purpose of each, as numbers, or from a file."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from dlnotes_cli.filter.kernel import Kernel
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import read_file, user_path
from dlnotes_cli.shell.parse import MAX_SIDE, Matrix, parse_matrix

_MAX_BYTES = 16 * 2**20  # of a file
_FILE_EXTENSIONS = {".txt", ".csv", ".tsv", ".json"}
_COMMENT = re.compile(r"#[^\n]*")


def _matrix(text: str) -> Matrix:
    return tuple(tuple(float(weight) for weight in row.split()) for row in text.split(";"))


def _transposed(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


_LEFT_RIGHT, _RIGHT_LEFT = _matrix(";".join(["-1 -1 1 1"] * 4)), _matrix(";".join(["1 1 -1 -1"] * 4))
_SOBEL = _matrix("-1 0 1; -2 0 2; -1 0 1")
_SCHARR = _matrix("-3 0 3; -10 0 10; -3 0 3")
_PREWITT = _matrix("-1 0 1; -1 0 1; -1 0 1")
_ROBERTS = _matrix("1 0; 0 -1"), _matrix("0 1; -1 0")
_NOTES_5X5 = _matrix("-1 -.2 0 .2 1; -1.5 -.2 0 .2 1.5; -2 -.2 0 .2 2; -1.5 -.2 0 .2 1.5; -1 -.2 0 .2 1")
_NOTES_5X5_Y = _matrix("-1 -2 -2 -2 -1; -.2 -.2 -.2 -.2 -.2; 0 0 0 0 0; .2 .2 .2 .2 .2; 1 2 2 2 1")

_FIXED: dict[str, tuple[Matrix, str]] = {
    "sobel-x": (_SOBEL, "vertical edges, smoothed along the edge"),
    "sobel-y": (_transposed(_SOBEL), "horizontal edges, smoothed along the edge"),
    "scharr-x": (_SCHARR, "vertical edges, more isotropic than sobel-x"),
    "scharr-y": (_transposed(_SCHARR), "horizontal edges, more isotropic than sobel-y"),
    "prewitt-x": (_PREWITT, "vertical edges, equal weights for all rows"),
    "prewitt-y": (_transposed(_PREWITT), "horizontal edges, equal weights for all columns"),
    "roberts-x": (_ROBERTS[0], "edges along the rising diagonal"),
    "roberts-y": (_ROBERTS[1], "edges along the falling diagonal"),
    "laplacian-4": (_matrix("0 1 0; 1 -4 1; 0 1 0"), "second derivative from 4 neighbors: fine detail"),
    "laplacian-8": (_matrix("1 1 1; 1 -8 1; 1 1 1"), "second derivative from 8 neighbors: fine detail"),
    "high-pass": (_matrix("0 -1 0; -1 4 -1; 0 -1 0"), "high-pass of the course: the difference from the neighbors"),
    "sharpen": (_matrix("0 -1 0; -1 5 -1; 0 -1 0"), "the image plus its high-pass"),
    "emboss": (_matrix("-2 -1 0; -1 1 1; 0 1 2"), "relief lit from one corner"),
    "identity": (_matrix("0 0 0; 0 1 0; 0 0 0"), "the unchanged image"),
    "quiz-a": (_matrix("-1 -1 -1; -1 8 -1; -1 -1 -1"), "kernel a of the course's quiz: edges in every direction"),
    "quiz-b": (_SOBEL, "kernel b of the course's quiz: vertical edges (sobel-x)"),
    "quiz-c": (_matrix("0 -1 0; -2 6 -2; 0 -1 0"), "kernel c of the course's quiz: detail, mostly vertical lines"),
    "quiz-d": (_transposed(_SOBEL), "kernel d of the course's quiz, the correct answer: horizontal edges (sobel-y)"),
    "notes-4x4-1": (_LEFT_RIGHT, "filter 1 of the course's notebook: dark left of bright"),
    "notes-4x4-2": (_RIGHT_LEFT, "filter 2 of the course's notebook: bright left of dark"),
    "notes-4x4-3": (_transposed(_LEFT_RIGHT), "filter 3 of the course's notebook: dark above bright"),
    "notes-4x4-4": (_transposed(_RIGHT_LEFT), "filter 4 of the course's notebook: bright above dark"),
    "notes-5x5-x": (_NOTES_5X5, "5x5 kernel of the course's notebook: vertical edges"),
    "notes-5x5-y": (_NOTES_5X5_Y, "5x5 kernel of the course's notebook: horizontal edges"),
}
_MAGNITUDES: dict[str, tuple[Matrix, Matrix, str]] = {
    "gradient": (_SOBEL, _transposed(_SOBEL), "edges in every direction: magnitude of sobel-x and sobel-y"),
    "sobel": (_SOBEL, _transposed(_SOBEL), "magnitude of sobel-x and sobel-y, the same as gradient"),
    "scharr": (_SCHARR, _transposed(_SCHARR), "magnitude of scharr-x and scharr-y"),
    "prewitt": (_PREWITT, _transposed(_PREWITT), "magnitude of prewitt-x and prewitt-y"),
    "roberts": (*_ROBERTS, "magnitude of roberts-x and roberts-y"),
}


def _box(size: int) -> Matrix:
    return ((1 / size**2,) * size,) * size


def _motion(size: int) -> Matrix:
    return ((1 / size,) * size,)


def _gaussian(size: int, sigma: float) -> Matrix:
    """G(x) = exp(-x^2 / (2 sigma^2)), normalized to sum 1; an even size has its center between pixels."""
    profile = [math.exp(-(((i - (size - 1) / 2) / sigma) ** 2) / 2) for i in range(size)]
    total = sum(profile)
    return tuple(tuple(a * b / total**2 for b in profile) for a in profile)


def _laplacian_of_gaussian(size: int, sigma: float) -> Matrix:
    """The Laplacian of Gaussian, (r^2 - 2 sigma^2) / sigma^4 G(r), shifted to sum 0 (Marr and Hildreth, 1980)."""
    center = (size - 1) / 2
    gaussian = _gaussian(size, sigma)
    raw = [
        [((y - center) ** 2 + (x - center) ** 2 - 2 * sigma**2) / sigma**4 * g for x, g in enumerate(row)]
        for y, row in enumerate(gaussian)
    ]
    mean = sum(map(sum, raw)) / size**2
    return tuple(tuple(weight - mean for weight in row) for row in raw)


def _unsharp(size: int, sigma: float) -> Matrix:
    """Twice the image minus its Gaussian blur."""
    rows = [[-weight for weight in row] for row in _gaussian(size, sigma)]
    rows[size // 2][size // 2] += 2
    return tuple(map(tuple, rows))


_SIZED: dict[str, tuple[Callable[[int], Matrix], int, str]] = {
    "box": (_box, 3, "mean of a square (--kernel-size)"),
    "motion": (_motion, 9, "motion blur along rows (--kernel-size)"),
}
_GAUSSIAN: dict[str, tuple[Callable[[int, float], Matrix], float, str]] = {
    "gaussian": (_gaussian, 1.0, "Gaussian blur (--kernel-size, --sigma)"),
    "unsharp": (_unsharp, 1.0, "sharpens: twice the image minus its Gaussian blur (--kernel-size, --sigma)"),
    "log": (
        _laplacian_of_gaussian, 1.4, "Laplacian of Gaussian: blobs and edges of one scale (--kernel-size, --sigma)",
    ),
}  # fmt: skip
WITH_SIGMA = frozenset(_GAUSSIAN)
WITH_SIZE = frozenset(_GAUSSIAN) | frozenset(_SIZED)
NAMES = tuple(sorted({*_FIXED, *_MAGNITUDES, *_SIZED, *_GAUSSIAN}))
_MEANT = {  # by names that are no kernels
    **dict.fromkeys(("blur", "smooth", "smoothing", "lowpass", "low-pass"), "'gaussian'"),
    **dict.fromkeys(("edge", "edges", "outline", "contour"), "'gradient'"),
    **dict.fromkeys(("average", "mean"), "'box'"),
    **dict.fromkeys(("denoise", "noise"), "'gaussian', or --op median"),
    **{name: f"--op {name}" for name in ("median", "bilateral", "canny", "erode", "dilate")},
}


def named_kernel(name: str, *, size: int | None = None, sigma: float | None = None) -> Kernel:
    """The kernel of a name of NAMES; `size` and `sigma` apply to the kernels that have them.

    Raises InputError if `sigma` needs more than `MAX_SIDE` rows.
    """
    if name in _GAUSSIAN:
        build_gaussian, default_sigma, purpose = _GAUSSIAN[name]
        # the sigma for a size as in OpenCV's getGaussianKernel
        spread = sigma or (default_sigma if size is None else 0.3 * ((size - 1) * 0.5 - 1) + 0.8)
        side = size or 2 * math.ceil(3 * spread) + 1  # three standard deviations on each side
        if side > MAX_SIDE:
            raise InputError("--sigma", f"{sigma} needs {side:,} rows", "use a smaller one, or set --kernel-size")
        return Kernel(name, build_gaussian(side, spread), purpose)
    if name in _SIZED:
        build_sized, default_size, purpose = _SIZED[name]
        return Kernel(name, build_sized(size or default_size), purpose)
    if name in _MAGNITUDES:
        first, second, purpose = _MAGNITUDES[name]
        return Kernel(name, first, purpose, second_matrix=second)
    return Kernel(name, *_FIXED[name])


def parse_kernels(
    arguments: Sequence[tuple[str, str]], *, size: int | None = None, sigma: float | None = None
) -> list[Kernel]:
    """The kernels of (option, value) pairs; a value is a kernel name, a matrix or a file. Equal names are numbered.

    `size` and `sigma` apply to the named kernels that have them. Raises InputError, with row and column if a matrix is
    wrong.
    """
    names = {value.strip().lower() for _, value in arguments}
    for option, number, applicable in (("--kernel-size", size, WITH_SIZE), ("--sigma", sigma, WITH_SIGMA)):
        if number is not None and not applicable & names:
            fix = f"leave it out, or use {', '.join(sorted(applicable))}"
            raise InputError(option, "applies to none of the kernels", fix)
    kernels: dict[str, Kernel] = {}
    for option, value in arguments:
        kernel = _parse_kernel(value, size, sigma, option)
        candidates = (kernel.name, *(f"{kernel.name}-{i}" for i in range(2, len(arguments) + 2)))
        name = next(name for name in candidates if name not in kernels)
        kernels[name] = replace(kernel, name=name)
    return list(kernels.values())


def _parse_kernel(text: str, size: int | None, sigma: float | None, option: str) -> Kernel:
    name = text.strip().lower()
    if name in NAMES:
        return named_kernel(name, size=size, sigma=sigma)
    path = user_path(text)
    if path.suffix.lower() in _FILE_EXTENSIONS or _is_file(path):
        return Kernel(path.stem, parse_matrix(_COMMENT.sub("", _read(path)), path), f"from {path}")
    if not name or re.search(r"[;\[\n,\s]", name) or re.match("[-+.\\d\N{MINUS SIGN}]", name):
        return Kernel("custom", parse_matrix(text, option), "custom weights")
    if name in _MEANT:
        fix = f"did you mean {_MEANT[name]}? choose from {', '.join(NAMES)}"
        raise InputError(option, f"unknown kernel '{text}'", fix)
    raise unknown_choice(option, text, NAMES, "kernel")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a matrix can be too long for a file name
        return False


def _read(path: Path) -> str:
    try:
        return read_file(path, _MAX_BYTES, "use a file with one kernel").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", "write the kernel as text, CSV or JSON") from error
