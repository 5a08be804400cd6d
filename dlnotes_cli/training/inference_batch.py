"""How many samples a forward pass without gradients takes."""

import math
from collections.abc import Sequence

_MAX_BATCH = 1024  # samples
_MAX_BATCH_VALUES = 1 << 22  # pixels times channels, or columns, of all samples


def inference_batch_size(shape: Sequence[int]) -> int:
    """The number of samples of `shape` in a forward pass without gradients; fewer for large images."""
    return max(1, min(_MAX_BATCH, _MAX_BATCH_VALUES // math.prod(shape)))
