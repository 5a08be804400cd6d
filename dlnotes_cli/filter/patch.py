"""`filter --patch`: kernels, ReLU and pooling on a small matrix, with the numbers of lesson 5."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.filter.kernel import Kernel, describe, format_matrix
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.filter.response import KernelChain, intensities, parse_chains, respond
from dlnotes_cli.shell.codec import HIDDEN, in_json
from dlnotes_cli.shell.parse import parse_channels, parse_matrix

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
            yield from describe(self.kernels)
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
    kernels, chains = parse_chains(config)
    results = tuple(_response(patch, chain) for chain in chains)
    is_course_example = matrices == (_COURSE_PATCH,) and [kernel.matrix for kernel in kernels] == [_COURSE_KERNEL]
    remark = _COURSE_CORRECTION if is_course_example and config.edges == "crop" else ""
    return PatchResult(kernels, patch.shape, results, remark, config.explain)


def _response(patch: NDArray[np.float64], chain: KernelChain) -> PatchResponse:
    """The response to the channels (C, H, W), of which kernels make one."""
    pixels = np.ascontiguousarray(patch.transpose(1, 2, 0))
    response = respond(pixels, chain, _WHITE, sums=True).values
    values = intensities(response, np.float64, _WHITE, chain.config.result, chain.config.threshold)
    name = chain.name if chain.kernels or chain.operations else None
    return PatchResponse(name, values.transpose(2, 0, 1))
