"""What lies beyond an image's edge, in the notes' words and two more."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Edges = Literal["extend", "pad", "crop", "reflect", "wrap"]


def sources(start: int, stop: int, size: int, edges: Edges) -> NDArray[np.intp]:
    """Which of `size` pixels stands at each position from `start` to `stop`; -1 where zero stands.

    extend repeats the last pixel, pad takes zero, reflect mirrors without repeating the last pixel, wrap starts again
    at the other side.

    >>> sources(-2, 5, 3, "reflect").tolist()
    [2, 1, 0, 1, 2, 1, 0]
    """
    at = np.arange(start, stop, dtype=np.intp)
    if edges == "wrap":
        return at % size
    if edges == "reflect":
        period = max(2 * (size - 1), 1)
        return np.minimum(at % period, -at % period)
    if edges == "extend":
        return np.clip(at, 0, size - 1)
    return np.where((at < 0) | (at >= size), -1, at)


def framed(pixels: NDArray[Any], rows: range, columns: range, edges: Edges, dtype: Any) -> NDArray[Any]:
    """The rows and columns of an image (H, W, C), those outside it filled in by `edges`; (h, w, C) of `dtype`."""
    height, width = pixels.shape[:2]
    found = np.empty((len(rows), len(columns), pixels.shape[2]), dtype)
    inside = range(max(rows.start, 0), min(rows.stop, height))
    if len(inside) == len(rows):
        lines = pixels[rows.start : rows.stop]
    else:
        lines = _picked(pixels, sources(rows.start, rows.stop, height, edges), axis=0)
    left, right = max(-columns.start, 0), max(columns.stop - width, 0)
    end = len(columns) - right
    found[:, left:end] = lines[:, columns.start + left : columns.stop - right]
    for part, start, stop in ((found[:, :left], columns.start, 0), (found[:, end:], width, columns.stop)):
        if part.size:
            part[:] = _picked(lines, sources(start, stop, width, edges), axis=1)
    return found


def _picked(pixels: NDArray[Any], at: NDArray[np.intp], axis: int) -> NDArray[Any]:
    found = pixels.take(at, axis=axis)
    if at.min() < 0:
        found[(slice(None),) * axis + (at < 0,)] = 0
    return found
