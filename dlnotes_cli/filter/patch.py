"""`filter --patch`: kernels, ReLU and pooling on a small matrix, with the numbers of lesson 5."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.filter.correlation import Correlation
from dlnotes_cli.filter.filtered_image import KernelChain, layer_response
from dlnotes_cli.filter.intensity import IntensityMapping, ValueRange
from dlnotes_cli.filter.kernels.description import details, lines
from dlnotes_cli.filter.kernels.kernel import Kernel, format_matrix
from dlnotes_cli.filter.operations.apply import apply_operations
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.filter.stages import StoredResponse
from dlnotes_cli.shell.codec import HIDDEN, in_json
from dlnotes_cli.shell.parse import Matrix, parse_channels, parse_matrix

_WHITE = 255
_COURSE_PATCH = parse_matrix(
    "128 97 53 201 198; 35 22 25 200 195; 37 24 28 197 182; 33 28 92 195 179; 31 40 100 192 177", "lesson 5"
)
_COURSE_KERNEL = parse_matrix("0 1 0; 1 0 1; 0 1 0", "lesson 5")
_COURSE_CORRECTION = "the course's animation shows 169 and 560 in the last row; the sums are 189 and 660"


@dataclass(frozen=True)
class PatchResponse:
    """The response to one chain of kernels, (C, H, W): one channel, or those of the patch if it is only pooled."""

    kernel: str | None  # None if the patch is only pooled
    channels: NDArray[np.float64] = field(metadata=HIDDEN)

    @property
    @in_json
    def shape(self) -> tuple[int, ...]:
        """The shape of `channels`."""
        return self.channels.shape

    @property
    @in_json
    def values(self) -> list[Any]:
        """The rows of the only channel, or a list of rows for each channel."""
        channels: list[Any] = self.channels.tolist()
        return channels[0] if len(channels) == 1 else channels


@dataclass(frozen=True)
class PatchResult:
    """The result of `filter --patch`: a response for each chain of kernels; `remark` corrects the course."""

    kernels: tuple[Kernel, ...]
    input_shape: tuple[int, int, int]  # (C, H, W)
    results: tuple[PatchResponse, ...]
    remark: str = field(default="", metadata=HIDDEN)
    is_explained: bool = field(default=False, metadata=HIDDEN)

    def table(self) -> Iterator[str]:
        """What the kernels do, if asked for, and the numbers of each response, below its name if there are several."""
        if self.is_explained:
            yield from lines(self.kernels, details)
        for i, result in enumerate(self.results):
            if i:
                yield ""
            if len(self.results) > 1:
                yield result.kernel or ""
            for channel, values in enumerate(result.channels.tolist()):
                if channel:
                    yield "|"
                yield from format_matrix(values, digits=10)

    @property
    def notes(self) -> Iterator[str]:
        """The remark."""
        if self.remark:
            yield self.remark


def filter_patch(config: FilterConfig) -> PatchResult:
    """Filter and pool the matrix of `config.patch`. Raises InputError if the matrix or a kernel is wrong."""
    matrices = parse_channels(str(config.patch), "--patch")
    patch = np.array(matrices, np.float64)
    operations = config.parsed_operations()
    first, then = config.parsed_kernels()
    starts = [(kernel, *then) for kernel in first] or [tuple(then)]
    chains = [KernelChain(kernels, operations, config.pool) for kernels in starts]
    results = tuple(PatchResponse(_label(chain), _apply_chain(patch, chain, config)) for chain in chains)
    is_course_example = matrices == (_COURSE_PATCH,) and [k.matrix for k in (*first, *then)] == [_COURSE_KERNEL]
    remark = _COURSE_CORRECTION if is_course_example and config.edges == "crop" else ""
    return PatchResult((*first, *then), patch.shape, results, remark, config.explain)


def _apply_chain(patch: NDArray[np.float64], chain: KernelChain, config: FilterConfig) -> NDArray[np.float64]:
    """Operations, kernels, stride, ReLU, pooling and intensity mapping: (C, H, W) to (1, H', W').

    Without a kernel the channels are kept.
    """
    pixels = np.ascontiguousarray(patch.transpose(1, 2, 0))  # (H, W, C)
    response = apply_operations(pixels, chain.operations, config.edges, _WHITE, 1).transpose(2, 0, 1)
    for kernel in chain.kernels:
        response = _apply_kernel(response, kernel, config)
    return _map_intensities(_after_kernels(response, config), config)


def _apply_kernel(patch: NDArray[np.float64], kernel: Kernel, config: FilterConfig) -> NDArray[np.float64]:
    """The response summed over the channels, (1, H', W'); of a kernel with two matrices, the magnitude of both."""
    responses = [_sum_over_channels(patch, matrix, config) for matrix in kernel.matrices]
    return responses[0] if len(responses) == 1 else np.asarray(np.sqrt(np.square(responses).sum(axis=0)))


def _sum_over_channels(patch: NDArray[np.float64], matrix: Matrix, config: FilterConfig) -> NDArray[np.float64]:
    pixels = np.ascontiguousarray(patch.transpose(1, 2, 0))  # (H, W, C)
    response = Correlation(pixels, matrix, border=config.edges, convolve=config.convolve)
    return np.asarray(response.rows(0, response.shape[0]).sum(axis=2)[None])


def _map_intensities(response: NDArray[np.float64], config: FilterConfig) -> NDArray[np.float64]:
    """Apply `--result` and `--threshold`."""
    value_range = ValueRange(float(response.min()), float(response.max()))
    return IntensityMapping(config.result, _WHITE, config.threshold, value_range).to_floats(response)


def _after_kernels(channels: NDArray[Any], config: FilterConfig) -> NDArray[np.float64]:
    """Stride or pooling of (C, H, W), and ReLU in front of the pooling, as for images."""
    stored = StoredResponse(np.ascontiguousarray(channels.transpose(1, 2, 0)), math.inf)
    response = layer_response(stored, config)
    return np.asarray(response.rows(0, response.shape[0]).transpose(2, 0, 1), np.float64)


def _label(chain: KernelChain) -> str | None:
    """The name of a chain; None if the patch is only pooled."""
    return chain.name if chain.kernels or chain.operations else None
