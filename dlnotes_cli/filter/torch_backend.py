"""Correlation with PyTorch on another device; the only module of `filter` that loads PyTorch."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli.filter.borders import BorderMode, padded_window
from dlnotes_cli.filter.correlation import correlation_kernel, response_shape, window_offset
from dlnotes_cli.shell.matrix import Matrix

_STRIP_VALUES = 2**24  # values sent to the device at a time


class TorchCorrelation:
    """The response of `Correlation`, computed by conv2d on a device: in float64, on MPS in float32."""

    def __init__(
        self,
        pixels: NDArray[Any],
        matrix: Matrix,
        *,
        device: torch.device,
        border: BorderMode = "extend",
        convolve: bool = False,
        white: float = 255,
        max_magnitude: float | None = None,
    ) -> None:
        kernel = correlation_kernel(matrix, convolve=convolve)
        self._pixels, self._border, self._device = pixels, border, device
        self._offset = window_offset(kernel.shape, border, convolve=convolve)
        self.shape = response_shape(pixels.shape, kernel.shape, border)
        self.max_magnitude = (white if max_magnitude is None else max_magnitude) * float(np.abs(kernel).sum())
        self.strip_rows = max(_STRIP_VALUES // (self.shape[1] * self.shape[2]), kernel.shape[0], 16)
        self._dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self._weight = torch.from_numpy(kernel.copy())[None, None].to(device, self._dtype)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`, (h, W, C) of float64."""
        (top, left), (height, width) = self._offset, self._weight.shape[2:]
        rows = range(start + top, stop + top + height - 1)
        columns = range(left, left + self.shape[1] + width - 1)
        dtype = np.float64 if self._pixels.dtype == np.float64 else np.float32
        window = padded_window(self._pixels, rows, columns, self._border, dtype)
        planes = torch.from_numpy(window).permute(2, 0, 1)[:, None]  # (C, 1, h, w)
        with torch.no_grad():
            values = torch.nn.functional.conv2d(planes.to(self._device, self._dtype), self._weight)
        return values[:, 0].permute(1, 2, 0).cpu().double().numpy()
