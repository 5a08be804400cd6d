"""The named kernels: weights and purpose of each name."""

import math
from collections.abc import Callable

from dlnotes_cli.filter.kernels.kernel import Kernel, negate, transpose
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.parse import MAX_SIDE, Matrix

_LEFT_RIGHT: Matrix = ((-1.0, -1.0, 1.0, 1.0),) * 4


def _matrix(text: str) -> Matrix:
    return tuple(tuple(float(weight) for weight in row.split()) for row in text.split(";"))


_SOBEL = _matrix("-1 0 1; -2 0 2; -1 0 1")
_SCHARR = _matrix("-3 0 3; -10 0 10; -3 0 3")
_PREWITT = _matrix("-1 0 1; -1 0 1; -1 0 1")
_ROBERTS = _matrix("1 0; 0 -1"), _matrix("0 1; -1 0")
_NOTES_5X5 = _matrix("-1 -.2 0 .2 1; -1.5 -.2 0 .2 1.5; -2 -.2 0 .2 2; -1.5 -.2 0 .2 1.5; -1 -.2 0 .2 1")
_NOTES_5X5_Y = _matrix("-1 -2 -2 -2 -1; -.2 -.2 -.2 -.2 -.2; 0 0 0 0 0; .2 .2 .2 .2 .2; 1 2 2 2 1")

_FIXED: dict[str, tuple[Matrix, str]] = {
    "sobel-x": (_SOBEL, "vertical edges, smoothed along the edge"),
    "sobel-y": (transpose(_SOBEL), "horizontal edges, smoothed along the edge"),
    "scharr-x": (_SCHARR, "vertical edges, more isotropic than sobel-x"),
    "scharr-y": (transpose(_SCHARR), "horizontal edges, more isotropic than sobel-y"),
    "prewitt-x": (_PREWITT, "vertical edges, equal weights for all rows"),
    "prewitt-y": (transpose(_PREWITT), "horizontal edges, equal weights for all columns"),
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
    "quiz-d": (transpose(_SOBEL), "kernel d of the course's quiz, the correct answer: horizontal edges (sobel-y)"),
    "notes-4x4-1": (_LEFT_RIGHT, "filter 1 of the course's notebook: dark left of bright"),
    "notes-4x4-2": (negate(_LEFT_RIGHT), "filter 2 of the course's notebook: bright left of dark"),
    "notes-4x4-3": (transpose(_LEFT_RIGHT), "filter 3 of the course's notebook: dark above bright"),
    "notes-4x4-4": (negate(transpose(_LEFT_RIGHT)), "filter 4 of the course's notebook: bright above dark"),
    "notes-5x5-x": (_NOTES_5X5, "5x5 kernel of the course's notebook: vertical edges"),
    "notes-5x5-y": (_NOTES_5X5_Y, "5x5 kernel of the course's notebook: horizontal edges"),
}
_MAGNITUDES: dict[str, tuple[Matrix, Matrix, str]] = {
    "gradient": (_SOBEL, transpose(_SOBEL), "edges in every direction: magnitude of sobel-x and sobel-y"),
    "sobel": (_SOBEL, transpose(_SOBEL), "magnitude of sobel-x and sobel-y, the same as gradient"),
    "scharr": (_SCHARR, transpose(_SCHARR), "magnitude of scharr-x and scharr-y"),
    "prewitt": (_PREWITT, transpose(_PREWITT), "magnitude of prewitt-x and prewitt-y"),
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
    center = size // 2
    return tuple(
        tuple(2.0 * (y == x == center) - weight for x, weight in enumerate(row))
        for y, row in enumerate(_gaussian(size, sigma))
    )


_SIZED: dict[str, tuple[Callable[[int], Matrix], int, str]] = {
    "box": (_box, 3, "mean of a square (--kernel-size)"),
    "motion": (_motion, 9, "motion blur along rows (--kernel-size)"),
}
_GAUSSIAN: dict[str, tuple[Callable[[int, float], Matrix], float, str]] = {
    "gaussian": (_gaussian, 1.0, "Gaussian blur (--kernel-size, --sigma)"),
    "unsharp": (_unsharp, 1.0, "sharpens: twice the image minus its Gaussian blur (--kernel-size, --sigma)"),
    "log": (
        _laplacian_of_gaussian,
        1.4,
        "Laplacian of Gaussian: blobs and edges of one scale (--kernel-size, --sigma)",
    ),
}
WITH_SIGMA = frozenset(_GAUSSIAN)
WITH_SIZE = frozenset(_GAUSSIAN) | frozenset(_SIZED)
NAMES = tuple(sorted({*_FIXED, *_MAGNITUDES, *_SIZED, *_GAUSSIAN}))


def named_kernel(name: str, *, size: int | None = None, sigma: float | None = None) -> Kernel:
    """The kernel with a name; `size` and `sigma` apply to the kernels that have them.

    Raises InputError if the name is unknown or `sigma` needs more than `MAX_SIDE` rows.
    """
    if name in _GAUSSIAN:
        build_gaussian, default_sigma, purpose = _GAUSSIAN[name]
        spread = sigma or (default_sigma if size is None else _sigma_for(size))
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
    if name not in _FIXED:
        raise unknown_choice("--kernel", name, NAMES, "kernel")
    return Kernel(name, *_FIXED[name])


def _sigma_for(size: int) -> float:
    """The sigma for a size, 0.3 ((size - 1) / 2 - 1) + 0.8, as in OpenCV's getGaussianKernel."""
    return 0.3 * ((size - 1) * 0.5 - 1) + 0.8
