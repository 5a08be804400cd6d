"""How many samples a step can hold in a GPU's memory."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import nn

from dlnotes_cli.device import Runtime, peak_memory

SMALLEST, LARGEST = 64, 2048
_SHARE = 0.6  # of the free memory that a step may take


def largest_batch(step_bytes: Callable[[int], int], free_bytes: int, *, most: int = LARGEST) -> int:
    """The largest power of two, from 64 to `most` samples, whose step takes at most 60 % of the free memory.

    Memory grows linearly with the samples: two small steps are measured and the line through them is followed.
    """
    first, second = step_bytes(SMALLEST), step_bytes(2 * SMALLEST)
    per_sample = max(second - first, 1) / SMALLEST
    fixed = first - SMALLEST * per_sample
    batch = SMALLEST
    while 2 * batch <= most and fixed + 2 * batch * per_sample <= _SHARE * free_bytes:
        batch *= 2
    return batch


def step_memory(network: nn.Module, shape: tuple[int, ...], runtime: Runtime) -> Callable[[int], int]:
    """A function from a number of samples to the bytes that a step on them takes on the machine's GPU."""

    def measure(samples: int) -> int:
        def step() -> None:
            with runtime.autocast():
                logits = network(torch.zeros(samples, *shape, device=runtime.device))
            F.cross_entropy(logits.float(), torch.zeros(samples, dtype=torch.int64, device=runtime.device)).backward()
            network.zero_grad()

        return peak_memory(runtime.device, step)

    return measure
