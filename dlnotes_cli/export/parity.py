"""The proof that an exported file answers as its model file does, sample by sample."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.export.results import Parity
from dlnotes_cli.shell.errors import UnfinishedError

Answer = Callable[[NDArray[np.generic]], NDArray[np.float32]]  # samples (N, ...) -> probabilities (N, classes)
ROUNDING = {"float32": 1e-6, "float16": 2e-3}  # of probabilities: two that differ by less are a tie
_FIRST_BATCHES = (1, 5)


@dataclass(frozen=True)
class Limits:
    """What a check accepts: the largest difference of a probability, and up to which one two classes are a tie."""

    tolerance: float
    rounding: float


def check_answers(
    out: Path, data: str, expected: NDArray[np.float32], answered: NDArray[np.float32], batches: tuple[int, ...],
    limits: Limits,
) -> Parity:  # fmt: skip
    """Compare probabilities (N, classes). Raises UnfinishedError naming `out` for a difference, or a changed class."""
    largest = float(np.abs(expected - answered).max())
    was, became = expected.argmax(1), answered.argmax(1)
    rows = np.arange(len(expected))
    is_tie = expected[rows, was] - expected[rows, became] <= limits.rounding
    changed = int((~is_tie).sum())
    if changed or not largest <= limits.tolerance:
        what = (
            f"the exported model answers differently: {changed} of {len(rows)} classes changed, largest difference of "
            f"a probability {largest:.2g} (tolerance {limits.tolerance:g}); nothing was written"
        )
        raise UnfinishedError(out, what, "use --dtype float32, another --format or another --opset")
    same = float((was == became).mean())
    return Parity(data, len(rows), batches, largest, same, int((was != became).sum()), limits.tolerance)


def answer_in_batches(answer: Answer, samples: NDArray[np.generic], largest: int) -> NDArray[np.float32]:
    """The answers for samples in batches of 1, of 5 and then of at most `largest`."""
    return np.concatenate([answer(samples[start:stop]) for start, stop in _bounds(len(samples), largest)])


def batch_sizes(samples: int, largest: int) -> tuple[int, ...]:
    """The sizes of those batches, each named once.

    >>> batch_sizes(300, 128), batch_sizes(6, 128), batch_sizes(300, 1)
    ((1, 5, 128, 38), (1, 5), (1,))
    """
    return tuple(dict.fromkeys(stop - start for start, stop in _bounds(samples, largest)))


def _bounds(samples: int, largest: int) -> Iterator[tuple[int, int]]:
    first = [size for size in _FIRST_BATCHES if size <= largest]
    ends = list(np.cumsum([0, *first]))
    yield from pairwise(
        [*(int(end) for end in ends if end < samples), *range(int(ends[-1]) + largest, samples, largest), samples]
    )
