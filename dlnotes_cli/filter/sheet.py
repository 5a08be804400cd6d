"""The sheet of `filter`: image, kernel and result side by side, and their frequencies."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli import plots
from dlnotes_cli.filter.kernels.kernel import total
from dlnotes_cli.filter.render import Rendering

_LONGEST = 640  # pixels of an image on the sheet
_WINDOW = 512  # pixels on each side of the middle part whose frequencies are shown
_FLOOR = 1e-3  # of magnitude, below which a spectrum is black anyway


def draw_sheet(renderings: Sequence[Rendering], *, spectrum: bool) -> bytes:
    """A row for each result, as PNG."""
    return plots.filters([_row(rendering, spectrum=spectrum) for rendering in renderings])


def _row(rendering: Rendering, *, spectrum: bool) -> plots.FilterRow:
    values = np.empty(rendering.numbers.shape, np.uint8)
    rendering.write_to(values)
    source = rendering.image.values
    kernels = [
        (
            kernel.name if kernel.partner is None else f"{kernel.name}, part {i}",
            np.array(matrix, np.float64),
            total(matrix),
        )
        for kernel in rendering.branch.kernels
        for i, matrix in enumerate(kernel.matrices, 1)
    ]
    return plots.FilterRow(
        original=_reduced((source // 257).astype(np.uint8) if source.itemsize > 1 else source),
        kernels=kernels,
        result=_reduced(values),
        name=f"{rendering.branch.name}, {rendering.config.result or 'clip'}",
        spectra=_spectra(rendering) if spectrum else (),
    )


def _reduced(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, C) brought down to the sheet's size, (C, H, W)."""
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    small = np.asarray(image.reduce(-(-max(image.size) // _LONGEST)))
    return small.reshape(*small.shape[:2], -1).transpose(2, 0, 1)


def _spectra(rendering: Rendering) -> list[NDArray[Any]]:
    """Before and after, of the middle of the image, in decibels."""
    source, numbers = rendering.image.values, rendering.numbers
    side = min(_WINDOW, *source.shape[:2], *numbers.shape[:2])
    top = (numbers.shape[0] - side) // 2
    return [_decibels(_middle(source, side)), _decibels(_middle(numbers.rows(top, top + side), side))]


def _middle(values: NDArray[Any], side: int) -> NDArray[np.float64]:
    top, left = ((length - side) // 2 for length in values.shape[:2])
    middle = values[top : top + side, left : left + side]
    return np.asarray(middle.mean(axis=2, dtype=np.float64))


def _decibels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """20 log10 |F|, 0 in the middle; a Hann window keeps the frame's own edges out of it."""
    window = np.hanning(len(values) + 2)[1:-1]
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(values * window[:, None] * window)))
    return 20 * np.log10(np.maximum(magnitude, _FLOOR))
