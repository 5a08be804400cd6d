"""The largest batch size that fits into the memory of a GPU."""

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import nn

from dlnotes_cli.device import Runtime, free_memory, peak_memory

MIN_BATCH_SIZE, MAX_BATCH_SIZE = 64, 2048
_MEMORY_FRACTION = 0.6  # of the free memory that a step may use


def largest_fitting_batch_size(network: nn.Module, shape: tuple[int, ...], runtime: Runtime, samples: int) -> int:
    """The largest power of two, from 64 to 2048 and at most `samples`, whose step fits into the memory of a GPU.

    `shape` is that of one sample. Memory grows linearly with the batch size, so two small steps are measured.
    """
    measured = [_step_bytes(network, shape, runtime, size) for size in (MIN_BATCH_SIZE, 2 * MIN_BATCH_SIZE)]
    free = free_memory(runtime.device)
    return extrapolated_batch_size(measured[0], measured[1], free, limit=min(MAX_BATCH_SIZE, samples))


def extrapolated_batch_size(first: int, second: int, free_bytes: int, *, limit: int = MAX_BATCH_SIZE) -> int:
    """The largest power of two, from 64 to `limit` samples, whose step uses at most 60 % of the free memory.

    A step of 64 samples uses `first` bytes, and one of 128 samples `second`.
    """
    per_sample = max(second - first, 1) / MIN_BATCH_SIZE
    fixed = first - MIN_BATCH_SIZE * per_sample
    batch_size = MIN_BATCH_SIZE
    while 2 * batch_size <= limit and fixed + 2 * batch_size * per_sample <= _MEMORY_FRACTION * free_bytes:
        batch_size *= 2
    return batch_size


def _step_bytes(network: nn.Module, shape: tuple[int, ...], runtime: Runtime, batch_size: int) -> int:
    """The peak memory in bytes of a forward and backward pass on `batch_size` samples of `shape`, on a GPU."""

    def step() -> None:
        with runtime.autocast():
            logits = network(torch.zeros(batch_size, *shape, device=runtime.device))
        labels = torch.zeros(batch_size, dtype=torch.int64, device=runtime.device)
        F.cross_entropy(logits.float(), labels).backward()
        network.zero_grad()

    return peak_memory(runtime.device, step)
