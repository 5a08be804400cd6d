"""Correlation of images with kernels by OpenCV, which computes it in float64; results are rounded to float32 at most.

`--edges` names the border modes as the course does.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.filter.kernel import separate
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.parse import Matrix

Border = Literal["extend", "pad", "crop", "reflect", "wrap"]
_OPENCV = {
    "extend": cv2.BORDER_REPLICATE, "pad": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101,
    "wrap": cv2.BORDER_WRAP,
}  # fmt: skip
_STRIP_VALUES = 2**17  # in a strip of rows: few enough that it stays in a core's cache


def correlate(
    values: NDArray[Any], matrices: Sequence[Matrix], border: Border, *, convolve: bool = False, sums: bool = False,
    dtype: Any = np.float64, threads: int = 1,
) -> NDArray[Any]:  # fmt: skip
    """An image (H, W, C) correlated with a kernel (h, w): the sum of k(i, j) x(y + i - h // 2, x + j - w // 2).

    Of two kernels of one size, the magnitude of both. `convolve` rotates the kernels by 180 degrees about their anchor;
    `sums` adds the channels up. Raises InputError if the border is cropped and no pixel remains.
    """
    step = -1 if convolve else 1
    kernels = [np.ascontiguousarray(np.array(matrix, np.float64)[::step, ::step]) for matrix in matrices]
    factors = [separate(matrix) for matrix in matrices]
    rows, columns = kernels[0].shape
    window = padded(values, (rows, columns), anchor((rows, columns), convolve=convolve), border)
    height, width, channels = len(window) - rows + 1, window.shape[1] - columns + 1, values.shape[2]
    result = np.empty((height, width, 1 if sums else channels), dtype)

    def compute(part: slice) -> None:
        strip = window[part.start : part.stop + rows - 1].astype(np.float64)
        responses = []
        for kernel, lines in zip(kernels, factors, strict=True):
            if lines is None:
                response = cv2.filter2D(strip, -1, kernel, anchor=(0, 0))
            else:
                column, row = (np.array(line[::step]) for line in lines)
                response = cv2.sepFilter2D(strip, -1, row, column, anchor=(0, 0))
            response = response.reshape(strip.shape)[: len(strip) - rows + 1, :width]
            responses.append(response.sum(axis=2, keepdims=True) if sums else response)
        result[part] = responses[0] if len(responses) == 1 else np.hypot(*responses)

    in_strips(compute, result.shape, threads, least=3 * rows)
    return result


def in_strips(work: Callable[[slice], None], shape: tuple[int, ...], threads: int, least: int = 16) -> None:
    """Call `work` for the rows of an image (H, W, C), strip by strip, in threads; a strip has `least` rows or more."""
    rows = max(_STRIP_VALUES // (shape[1] * shape[2]), least)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, (slice(start, start + rows) for start in range(0, shape[0], rows))))


def anchor(size: tuple[int, ...], *, convolve: bool) -> tuple[int, int]:
    """Rows and columns from the first weight of a kernel to the one that lies on the pixel that is computed."""
    rows, columns = ((side - 1) // 2 if convolve else side // 2 for side in size)
    return rows, columns


def padded(values: NDArray[Any], size: tuple[int, ...], before: tuple[int, int], border: Border) -> NDArray[Any]:
    """An image (H, W, C) with what its border mode adds, so that windows of a size give (H, W) values.

    `before` are the rows and columns above and on the left. Raises InputError if the border is cropped and no pixel
    remains.
    """
    (height, width, channels), (rows, columns) = values.shape, size
    if border != "crop":
        top, left = before
        larger = cv2.copyMakeBorder(values, top, rows - 1 - top, left, columns - 1 - left, _OPENCV[border])
        return larger.reshape(height + rows - 1, width + columns - 1, channels)
    if rows > height or columns > width:
        what = f"crop leaves no pixel of {height}x{width} (rows x columns) under a kernel of {rows}x{columns}"
        raise InputError("--edges", what, "use a smaller kernel, or --edges extend")
    return values
