"""Strips of an image: with what lies beyond its border, and in threads that share the work.

`--edges` names the border modes as the course does.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
BorderMode = Literal["extend", "pad", "crop", "reflect", "wrap"]


def border_indices(start: int, stop: int, size: int, border: BorderMode) -> NDArray[np.intp]:
    """The pixel of a line of `size` pixels that each position from `start` to `stop` reads; -1 stands for a zero.

    In OpenCV's names `extend` is BORDER_REPLICATE, `pad` is BORDER_CONSTANT with 0, `reflect` is BORDER_REFLECT_101,
    and `wrap` is BORDER_WRAP. `crop` needs no border: no position lies outside.

    >>> border_indices(-2, 5, 3, "reflect").tolist()
    [2, 1, 0, 1, 2, 1, 0]
    """
    positions = np.arange(start, stop, dtype=np.intp)
    if border == "wrap":
        return positions % size
    if border == "reflect":
        period = max(2 * (size - 1), 1)
        return np.minimum(positions % period, -positions % period)
    if border == "extend":
        return np.clip(positions, 0, size - 1)
    return np.where((positions < 0) | (positions >= size), -1, positions)


def padded_window(pixels: NDArray[Any], rows: range, columns: range, border: BorderMode, dtype: Any) -> NDArray[Any]:
    """A window (h, w, C) of an image (H, W, C) as `dtype`; `border` fills what lies outside the image."""
    height, width = pixels.shape[:2]
    window = np.empty((len(rows), len(columns), pixels.shape[2]), dtype)
    if rows.start >= 0 and rows.stop <= height:
        lines = pixels[rows.start : rows.stop]
    else:
        lines = _take_or_zero(pixels, border_indices(rows.start, rows.stop, height, border), axis=0)
    left, right = max(-columns.start, 0), max(columns.stop - width, 0)
    end = len(columns) - right
    window[:, left:end] = lines[:, columns.start + left : columns.stop - right]
    for side, start, stop in ((window[:, :left], columns.start, 0), (window[:, end:], width, columns.stop)):
        if side.size:
            side[:] = _take_or_zero(lines, border_indices(start, stop, width, border), axis=1)
    return window


def _take_or_zero(pixels: NDArray[Any], indices: NDArray[np.intp], axis: int) -> NDArray[Any]:
    """Rows or columns by index, zeros where the index is -1."""
    taken = pixels.take(indices, axis=axis)
    if indices.min() < 0:
        taken[(slice(None),) * axis + (indices < 0,)] = 0
    return taken


def over_strips(work: Callable[[int, int], T], height: int, strip: int, threads: int) -> Iterator[T]:
    """Call `work(start, stop)` for each strip of `strip` rows, in threads; yields the results from top to bottom."""
    starts = range(0, height, strip)
    if threads == 1 or len(starts) == 1:
        yield from (work(start, min(start + strip, height)) for start in starts)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda start: work(start, min(start + strip, height)), starts)
