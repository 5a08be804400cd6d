"""Tensors that several processes sum together, again and again."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor


class JoinedSum(NamedTuple):
    """The sums over all processes of several tensors, in one operation.

    Each process copies its tensors to `places`, or computes them there. After all processes have called `add`,
    `totals` are the sums, with the same bits in each process. They are valid until the next sum of tensors; sums of
    numbers do not change them.
    """

    places: Sequence[Tensor]
    totals: Sequence[Tensor]
    add: Callable[[], object]
    are_private: bool = False  # whether a process may change the totals, as only it reads them


def views(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Parts of a flat tensor, one after the other, with the shapes of other tensors."""
    parts = flat.split([tensor.numel() for tensor in like])
    return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]
