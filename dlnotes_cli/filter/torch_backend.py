"""Correlation on another device, the only part of `filter` that loads PyTorch."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli.filter.correlate import oriented, origin, output_shape
from dlnotes_cli.filter.edges import Edges, framed
from dlnotes_cli.filter.kernels.kernel import Matrix

_STRIP = 2**24  # values sent to the device at a time


class DeviceCorrelation:
    """`Correlation` computed by conv2d on a device, in float64 where it has it (MPS has float32 alone)."""

    def __init__(
        self,
        pixels: NDArray[Any],
        matrix: Matrix,
        *,
        device: torch.device,
        edges: Edges = "extend",
        convolve: bool = False,
        white: float = 255,
        largest: float | None = None,
    ) -> None:
        kernel = oriented(matrix, convolve=convolve)
        self._pixels, self._edges, self._device = pixels, edges, device
        self._origin = origin(kernel.shape, edges, convolve=convolve)
        self.shape = output_shape(pixels.shape, kernel.shape, edges)
        self.largest = (white if largest is None else largest) * float(np.abs(kernel).sum())
        self.strip = max(_STRIP // (self.shape[1] * self.shape[2]), kernel.shape[0], 16)
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._weight = torch.from_numpy(kernel.copy())[None, None].to(device, self._dtype)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`, (h, W, C) of float64."""
        (top, left), (height, width) = self._origin, self._weight.shape[2:]
        rows = range(start + top, stop + top + height - 1)
        columns = range(left, left + self.shape[1] + width - 1)
        is_wide = self._pixels.dtype == np.float64
        source = framed(self._pixels, rows, columns, self._edges, np.float64 if is_wide else np.float32)
        layers = torch.from_numpy(source).permute(2, 0, 1)[:, None]
        with torch.no_grad():
            found = torch.nn.functional.conv2d(layers.to(self._device, self._dtype), self._weight)
        return found[:, 0].permute(1, 2, 0).cpu().double().numpy()
