"""The named kernels: a table from name to weights and what they are for."""

import math
from collections.abc import Callable

from dlnotes_cli.filter.kernels.kernel import Kernel, Matrix, negative, transposed
from dlnotes_cli.shell.errors import InputError, unknown_choice

LARGEST_SIDE = 1023  # rows and columns of any kernel
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
    "sobel-x": (_SOBEL, "vertical edges, smoothed along them"),
    "sobel-y": (transposed(_SOBEL), "horizontal edges, smoothed along them"),
    "scharr-x": (_SCHARR, "vertical edges, alike in more directions than sobel-x"),
    "scharr-y": (transposed(_SCHARR), "horizontal edges, alike in more directions than sobel-y"),
    "prewitt-x": (_PREWITT, "vertical edges, the rows weighted alike"),
    "prewitt-y": (transposed(_PREWITT), "horizontal edges, the columns weighted alike"),
    "roberts-x": (_ROBERTS[0], "edges along the rising diagonal"),
    "roberts-y": (_ROBERTS[1], "edges along the falling diagonal"),
    "laplacian-4": (_matrix("0 1 0; 1 -4 1; 0 1 0"), "second derivative from 4 neighbors: fine detail"),
    "laplacian-8": (_matrix("1 1 1; 1 -8 1; 1 1 1"), "second derivative from 8 neighbors: fine detail"),
    "high-pass": (_matrix("0 -1 0; -1 4 -1; 0 -1 0"), "the notes' high-pass: what differs from its neighbors"),
    "sharpen": (_matrix("0 -1 0; -1 5 -1; 0 -1 0"), "the image plus its high-pass"),
    "emboss": (_matrix("-2 -1 0; -1 1 1; 0 1 2"), "a relief lit from one corner"),
    "identity": (_matrix("0 0 0; 0 1 0; 0 0 0"), "the image itself"),
    "quiz-a": (_matrix("-1 -1 -1; -1 8 -1; -1 -1 -1"), "the quiz's a: edges in every direction"),
    "quiz-b": (_SOBEL, "the quiz's b: vertical edges (sobel-x)"),
    "quiz-c": (_matrix("0 -1 0; -2 6 -2; 0 -1 0"), "the quiz's c: detail, most of all along rows"),
    "quiz-d": (transposed(_SOBEL), "the quiz's d, its answer: horizontal edges (sobel-y)"),
    "notes-4x4-1": (_LEFT_RIGHT, "the notebook's filter 1: dark left of bright"),
    "notes-4x4-2": (negative(_LEFT_RIGHT), "the notebook's filter 2: bright left of dark"),
    "notes-4x4-3": (transposed(_LEFT_RIGHT), "the notebook's filter 3: dark above bright"),
    "notes-4x4-4": (negative(transposed(_LEFT_RIGHT)), "the notebook's filter 4: bright above dark"),
    "notes-5x5-x": (_NOTES_5X5, "the notebook's 5x5 for vertical edges"),
    "notes-5x5-y": (_NOTES_5X5_Y, "the notebook's 5x5 for horizontal edges"),
}
_PAIRS: dict[str, tuple[Matrix, Matrix, str]] = {
    "gradient": (_SOBEL, transposed(_SOBEL), "edges in every direction: magnitude of sobel-x and sobel-y"),
    "sobel": (_SOBEL, transposed(_SOBEL), "magnitude of sobel-x and sobel-y, the same as gradient"),
    "scharr": (_SCHARR, transposed(_SCHARR), "magnitude of scharr-x and scharr-y"),
    "prewitt": (_PREWITT, transposed(_PREWITT), "magnitude of prewitt-x and prewitt-y"),
    "roberts": (*_ROBERTS, "magnitude of roberts-x and roberts-y"),
}


def _box(size: int) -> Matrix:
    return ((1 / size**2,) * size,) * size


def _motion(size: int) -> Matrix:
    return ((1 / size,) * size,)


def _gaussian(size: int, sigma: float) -> Matrix:
    """G(x) = exp(-x^2 / (2 sigma^2)), normalized to sum 1; of even sizes the center lies between pixels."""
    line = [math.exp(-(((i - (size - 1) / 2) / sigma) ** 2) / 2) for i in range(size)]
    whole = sum(line)
    return tuple(tuple(a * b / whole**2 for b in line) for a in line)


def _log(size: int, sigma: float) -> Matrix:
    """The Laplacian of a Gaussian, (r^2 - 2 sigma^2) / sigma^4 G(r), shifted to sum 0 (Marr and Hildreth, 1980)."""
    center = (size - 1) / 2
    gaussian = _gaussian(size, sigma)
    raw = [
        [((y - center) ** 2 + (x - center) ** 2 - 2 * sigma**2) / sigma**4 * g for x, g in enumerate(row)]
        for y, row in enumerate(gaussian)
    ]
    mean = sum(map(sum, raw)) / size**2
    return tuple(tuple(weight - mean for weight in row) for row in raw)


def _unsharp(size: int, sigma: float) -> Matrix:
    """Twice the image less its blur."""
    middle = size // 2
    return tuple(
        tuple(2.0 * (y == x == middle) - weight for x, weight in enumerate(row))
        for y, row in enumerate(_gaussian(size, sigma))
    )


_SIZED: dict[str, tuple[Callable[[int], Matrix], int, str]] = {
    "box": (_box, 3, "the mean of a square (--size)"),
    "motion": (_motion, 9, "blur along rows, as from a moving camera (--size)"),
}
_BLURRED: dict[str, tuple[Callable[[int, float], Matrix], float, str]] = {
    "gaussian": (_gaussian, 1.0, "smooth blur (--size, --sigma)"),
    "unsharp": (_unsharp, 1.0, "sharpens: twice the image less its gaussian (--size, --sigma)"),
    "log": (_log, 1.4, "Laplacian of a Gaussian: spots and edges of one scale (--size, --sigma)"),
}
WITH_SIGMA = frozenset(_BLURRED)
WITH_SIZE = frozenset(_BLURRED) | frozenset(_SIZED)
NAMES = tuple(sorted({*_FIXED, *_PAIRS, *_SIZED, *_BLURRED}))


def named_kernel(name: str, *, size: int | None = None, sigma: float | None = None) -> Kernel:
    """The kernel of a name; `size` and `sigma` shape those that have them. Raises InputError."""
    if name in _BLURRED:
        build, usual_sigma, purpose = _BLURRED[name]
        spread = sigma or (usual_sigma if size is None else _sigma_for(size))
        side = size or 2 * math.ceil(3 * spread) + 1
        if side > LARGEST_SIDE:
            raise InputError("--sigma", f"{sigma} needs {side:,} rows", "give a smaller one, or --size")
        return Kernel(name, build(side, spread), purpose)
    if name in _SIZED:
        build_square, usual_size, purpose = _SIZED[name]
        return Kernel(name, build_square(size or usual_size), purpose)
    if name in _PAIRS:
        first, second, purpose = _PAIRS[name]
        return Kernel(name, first, purpose, partner=second)
    if name not in _FIXED:
        raise unknown_choice("--kernel", name, NAMES, "kernel")
    return Kernel(name, *_FIXED[name])


def _sigma_for(size: int) -> float:
    """The sigma that OpenCV's documentation gives for a size: 0.3 ((size - 1) / 2 - 1) + 0.8."""
    return 0.3 * ((size - 1) * 0.5 - 1) + 0.8
