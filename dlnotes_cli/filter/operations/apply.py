"""Operations applied to an image, one after another."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.filter.borders import BorderMode
from dlnotes_cli.filter.operations.parsing import RANKS, FilterOperation


def apply_operations(
    values: NDArray[Any], operations: tuple[FilterOperation, ...], border: BorderMode, white: float, threads: int
) -> NDArray[Any]:
    """An image (H', W', C) after the operations; `canny` leaves one channel of 0 and `white`.

    Raises InputError if the border is cropped and no pixel remains.
    """
    for operation in operations:
        values = _apply(values, operation, border, white, threads)
    return values


def _apply(
    values: NDArray[Any], operation: FilterOperation, border: BorderMode, white: float, threads: int
) -> NDArray[Any]:
    unit = white / 255
    if operation.name in RANKS:
        from dlnotes_cli.filter.operations.ranks import rank_filter

        return rank_filter(values, operation.name, operation.side, border, threads)
    if operation.name == "bilateral":
        from dlnotes_cli.filter.operations.bilateral import bilateral_filter

        space, tone = operation.numbers
        return bilateral_filter(values, space, tone * unit, border, threads)
    from dlnotes_cli.filter.operations.canny import canny_edges

    low, high, sigma = operation.numbers
    edges = canny_edges(values, low * unit, high * unit, sigma, border, threads)
    return np.where(edges, white, 0).astype(values.dtype)
