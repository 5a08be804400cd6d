"""`filter --patch`: a small matrix under a kernel, in numbers; the slides of lesson 5 by hand."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.filter.correlate import correlate
from dlnotes_cli.filter.filter import branches_of
from dlnotes_cli.filter.kernels.kernel import Kernel, Matrix
from dlnotes_cli.filter.kernels.parser import parse_channels, parse_matrix
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.filter.tone import Mapping, Range
from dlnotes_cli.shell.errors import InputError

_WHITE = 255
_ANIMATION = parse_matrix(
    "128 97 53 201 198; 35 22 25 200 195; 37 24 28 197 182; 33 28 92 195 179; 31 40 100 192 177", "the animation"
)
_CROSS = parse_matrix("0 1 0; 1 0 1; 0 1 0", "the animation")
_CORRECTION = "the course's animation shows 169 and 560 in the last row; the sums are 189 and 660"


@dataclass(frozen=True)
class PatchResult:
    """What one kernel gave: channels (C, H, W), one unless there was no kernel, only pooling."""

    kernel: str
    channels: NDArray[np.float64]

    @property
    def values(self) -> list[Any]:
        """The rows, or the rows of each channel."""
        found: list[Any] = self.channels.tolist()
        return found[0] if len(found) == 1 else found


@dataclass(frozen=True)
class PatchAnswer:
    """The results, one for each kernel, and a remark where the course shows other numbers."""

    input_shape: tuple[int, int, int]
    results: tuple[PatchResult, ...]
    remark: str = ""

    def as_json(self) -> dict[str, Any]:
        """The fields of `--json` beside those of the kernels."""
        results = [
            {"kernel": result.kernel or None, "shape": list(result.channels.shape), "values": result.values}
            for result in self.results
        ]
        return {"input_shape": list(self.input_shape), "results": results}


def filter_patch(config: FilterConfig) -> PatchAnswer:
    """Filter and pool the numbers of `config.patch`. Raises InputError where they or a kernel are wrong."""
    channels = parse_channels(str(config.patch), "--patch")
    patch = np.array(channels, np.float64)
    branches = () if config.pools_without_kernel else branches_of(config)
    results = [PatchResult("", _pooled(patch, config))] if config.pools_without_kernel else []
    for branch in branches:
        found = patch
        for kernel in branch.kernels:
            found = _filtered(found, kernel, config)
        results.append(PatchResult(branch.name, _pooled(_finished(found, config), config)))
    shown = [kernel.rows for branch in branches for kernel in branch.kernels]
    remark = _CORRECTION if channels == (_ANIMATION,) and shown == [_CROSS] and config.edges == "crop" else ""
    return PatchAnswer(patch.shape, tuple(results), remark)


def _filtered(patch: NDArray[np.float64], kernel: Kernel, config: FilterConfig) -> NDArray[np.float64]:
    """(C, H, W) under a kernel, summed over the channels: (1, H', W')."""
    sums = [_sum_of_channels(patch, matrix, config) for matrix in kernel.matrices]
    return sums[0] if len(sums) == 1 else np.asarray(np.sqrt(np.square(sums).sum(axis=0)))


def _sum_of_channels(patch: NDArray[np.float64], matrix: Matrix, config: FilterConfig) -> NDArray[np.float64]:
    layers = np.ascontiguousarray(patch.transpose(1, 2, 0))
    found = correlate(layers, matrix, edges=config.edges, convolve=config.convolve)
    return np.asarray(found.sum(axis=2)[None], np.float64)


def _finished(found: NDArray[np.float64], config: FilterConfig) -> NDArray[np.float64]:
    """Stride, ReLU, and what `--result` and `--threshold` ask for."""
    step = 1 if config.pool else config.stride or 1
    found = found[:, ::step, ::step]
    if config.relu:
        found = np.maximum(found, 0)
    ends = Range(float(found.min()), float(found.max()))
    return Mapping(config.result, _WHITE, config.threshold, ends).floats(found)


def _pooled(found: NDArray[np.float64], config: FilterConfig) -> NDArray[np.float64]:
    if config.pool is None:
        return found
    size = config.size or 2
    step = config.stride or size
    if size > min(found.shape[1:]):
        rows, columns = found.shape[1:]
        raise InputError("--size", f"a pool of {size}x{size} does not fit into {rows}x{columns}", "use a smaller one")
    windows = np.lib.stride_tricks.sliding_window_view(found, (size, size), axis=(1, 2))[:, ::step, ::step]
    pooled: NDArray[np.float64] = windows.max(axis=(3, 4)) if config.pool == "max" else windows.mean(axis=(3, 4))
    return pooled
