"""`filter --op`: operations on windows of pixels that are no convolution, such as `median:5` or `canny:40:120`."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.filter.catalog import named_kernel
from dlnotes_cli.filter.correlation import Border, correlate, padded
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.option import Range

_STEPS = {  # of the operations that choose a value of each window, in order
    "median": ("median",),
    "erode": ("erode",),
    "dilate": ("dilate",),
    "open": ("erode", "dilate"),
    "close": ("dilate", "erode"),
}
_WINDOW = "an odd number of rows and columns"
_RADIUS = 2.0  # of the bilateral window, in standard deviations of the distance
_CANNY_UNITS = 16  # of a gradient for each gray value: OpenCV's Canny takes whole numbers of 16 bits


class _Number(NamedTuple):
    """A number of an operation: what it is, its range and its default."""

    what: str
    within: Range
    default: float


_NUMBERS = {name: (_Number(_WINDOW, Range("[3, 99]"), 3),) for name in _STEPS} | {
    "bilateral": (
        _Number("standard deviation of the distance in pixels", Range("(0, 20]"), 2),
        _Number("standard deviation of the difference in brightness", Range("(0, 1000]"), 30),
    ),
    "canny": (
        _Number("lower threshold of the gradient's magnitude", Range("[0, 10000]"), 50),
        _Number("upper threshold of the gradient's magnitude", Range("[0, 10000]"), 100),
        _Number("standard deviation of the blur in pixels", Range("(0, 20]"), 1.4),
    ),
}
OPERATIONS = tuple(_NUMBERS)


@dataclass(frozen=True)
class FilterOperation:
    """An operation of OPERATIONS and its numbers; brightness is in units of a white of 255."""

    name: str
    numbers: tuple[float, ...]
    label: str  # as the user wrote it, in names of files: `median-5`

    def apply(self, values: NDArray[Any], border: Border, white: float) -> NDArray[Any]:
        """An image (H', W', C) after the operation; `canny` leaves one channel of 0 and `white`.

        Raises InputError if the border is cropped and no pixel remains.
        """
        if self.name in _STEPS:
            for step in _STEPS[self.name]:
                values = _rank(values, step, int(self.numbers[0]), border)
            return values
        if self.name == "bilateral":
            if values.shape[2] not in {1, 3}:
                what = f"bilateral needs one channel or three, got {values.shape[2]}"
                raise InputError("--op", what, "choose another one")
            space, tone = self.numbers
            return bilateral(values, space, tone * white / 255, border)
        low, high, sigma = self.numbers
        return (canny(values * (255 / white), low, high, sigma, border) * white).astype(values.dtype)


def parse_operations(texts: tuple[str, ...]) -> tuple[FilterOperation, ...]:
    """The operations in order. Raises InputError for an unknown name and for wrong numbers.

    >>> parse_operations(("median:5", "canny"))[1].numbers
    (50.0, 100.0, 1.4)
    """
    return tuple(map(_parse_operation, texts))


def _parse_operation(text: str) -> FilterOperation:
    name, *values = text.strip().lower().split(":")
    if name not in _NUMBERS:
        raise unknown_choice("--op", name, OPERATIONS, "operation")
    expected = _NUMBERS[name]
    example = f"write {':'.join([name, *(f'{number.default:g}' for number in expected)])}"
    if len(values) > len(expected):
        most = "one number" if len(expected) == 1 else f"at most {len(expected)} numbers"
        raise InputError("--op", f"{name} has {most}, got {len(values)}", example)
    numbers = [number.default for number in expected]
    for i, value in enumerate(values):
        try:
            numbers[i] = float(value)
        except ValueError:
            raise InputError("--op", f"{name}: '{value}' is not a number", example) from None
        if numbers[i] not in expected[i].within:
            what = f"{name}: {value} is out of range: {expected[i].what} is {expected[i].within}"
            raise InputError("--op", what, example)
    if name in _STEPS and numbers[0] % 2 != 1:
        raise InputError("--op", f"{name}:{values[0]} is not {_WINDOW}", example)
    if name == "canny" and numbers[0] > numbers[1]:
        what = f"the lower threshold {numbers[0]:g} of canny is above the upper one, {numbers[1]:g}"
        raise InputError("--op", what, example)
    return FilterOperation(name, tuple(map(float, numbers)), "-".join([name, *values]))


def _rank(values: NDArray[Any], step: str, side: int, border: Border) -> NDArray[Any]:
    """The median, the smallest or the largest value of each window of `side` x `side`, channel by channel.

    Opening is erosion and then dilation, closing the reverse (Serra, "Image Analysis and Mathematical Morphology",
    1982).
    """
    margin = side // 2
    window = padded(values, (side, side), (margin, margin), border)
    if step != "median":
        apply = cv2.erode if step == "erode" else cv2.dilate
        found = apply(window, np.ones((side, side), np.uint8))
    elif window.dtype == np.uint8:
        found = cv2.medianBlur(window, side)
    else:
        from scipy import ndimage

        found = ndimage.median_filter(window, (side, side, 1))
    return found.reshape(window.shape)[margin : len(window) - margin, margin : window.shape[1] - margin]


def bilateral(values: NDArray[Any], space: float, tone: float, border: Border) -> NDArray[Any]:
    """An image (H, W, C) in which each pixel is a mean of its neighbors, of float32 (Tomasi and Manduchi, ICCV 1998).

    The weight of a neighbor is exp(-d^2 / (2 space^2)) exp(-t^2 / (2 tone^2)) for a distance of d pixels, at most
    2 `space` rounded up, and the sum t of the differences of the channels.
    """
    radius = math.ceil(_RADIUS * space)
    side = 2 * radius + 1
    window = padded(values.astype(np.float32), (side, side), (radius, radius), border)
    found = cv2.bilateralFilter(window, side, tone, space).reshape(window.shape)
    return np.asarray(found[radius : len(window) - radius, radius : window.shape[1] - radius])


def canny(values: NDArray[Any], low: float, high: float, sigma: float, border: Border) -> NDArray[np.bool_]:
    """The edges (H, W, 1) of an image (H, W, C) with a white of 255, by OpenCV's Canny.

    The image is blurred by a Gaussian of `sigma` pixels. A pixel is a candidate if the magnitude of its gradient, from
    the Sobel kernels, is the largest along the gradient's direction. It is an edge if its magnitude is above `high`, or
    above `low` and 8-connected to such an edge through others. Of several channels, each pixel has the gradient of the
    channel with the largest one.
    """
    blurred = correlate(values * _CANNY_UNITS, named_kernel("gaussian", sigma=sigma).matrices, border)
    gradients = [correlate(blurred, named_kernel(name).matrices, border) for name in ("sobel-x", "sobel-y")]
    strongest = np.hypot(*gradients).argmax(axis=2)[..., None]
    x, y = (np.rint(np.take_along_axis(one, strongest, 2)).astype(np.int16) for one in gradients)
    edges = cv2.Canny(x, y, low * _CANNY_UNITS, high * _CANNY_UNITS, L2gradient=True)
    return np.asarray(edges > 0)[..., None]
