"""The proof that an exported file answers as its model file does, sample by sample."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.export.results import Parity
from dlnotes_cli.export.wrapper import Answer, Arrays, Run
from dlnotes_cli.shell.errors import UnfinishedError
from dlnotes_cli.training.metrics import softmax

Probabilities = NDArray[np.float32]  # (N, classes)
ROUNDING = {"float32": 1e-6, "float16": 2e-3}  # of probabilities: two that differ by less are a tie
_FIRST_BATCHES = (1, 5)


@dataclass(frozen=True)
class Limits:
    """What a check accepts: the largest difference of a probability, and up to which one two classes are a tie."""

    tolerance: float
    rounding: float
    fix: str  # what to do where a check fails


def check_classifier(
    out: Path, data: str, answer: Answer, samples: NDArray[Any], expected: Probabilities, largest: int, limits: Limits
) -> Parity:
    """Compare the answers of a file for samples with the expected ones, in batches of 1, of 5 and of at most `largest`.

    Raises UnfinishedError naming `out` for a class that changed, or a difference above the tolerance.
    """
    bounds = list(batch_bounds(len(samples), largest))
    answered = np.concatenate([answer(samples[start:stop]) for start, stop in bounds])
    sizes = tuple(dict.fromkeys(stop - start for start, stop in bounds))
    return _compared(out, data, sizes, expected, answered, limits)


def check_language_model(
    out: Path, step: Run, eager: Run, states: tuple[Arrays, ...], count: int, limits: Limits
) -> Parity:
    """Compare the probabilities of a file, step by step, on text that the model itself writes.

    Each of `states` starts texts in parallel, as many as its batch has; together they have about `count` characters.
    Each side keeps its own states, so that differences add up as they do in use.
    """
    generator = np.random.default_rng(0)
    sizes = tuple(int(initial[0].shape[1]) for initial in states)
    length = -(-count // sum(sizes))
    pairs = [_written(step, eager, initial, length, generator) for initial in states]
    expected, answered = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return _compared(out, "text that the model writes", sizes, expected, answered, limits)


def batch_bounds(samples: int, largest: int) -> Iterator[tuple[int, int]]:
    """Start and stop of batches of 1, of 5 and then of at most `largest` samples.

    >>> list(batch_bounds(300, 128)), list(batch_bounds(4, 128)), list(batch_bounds(3, 1))
    ([(0, 1), (1, 6), (6, 134), (134, 262), (262, 300)], [(0, 1), (1, 4)], [(0, 1), (1, 2), (2, 3)])
    """
    first = [0]
    for size in _FIRST_BATCHES:
        if size <= largest and first[-1] + size < samples:
            first.append(first[-1] + size)
    yield from pairwise([*first, *range(first[-1] + largest, samples, largest), samples])


def _written(
    step: Run, eager: Run, initial: Arrays, length: int, generator: np.random.Generator
) -> tuple[Probabilities, Probabilities]:
    """The expected and the answered probabilities (N, vocabulary) of each character of texts that are sampled."""
    expected, answered = [], []
    tokens = np.zeros(initial[0].shape[1], np.int64)
    states = (initial, initial)
    for _ in range(length):
        (wanted, *before), (given, *after) = eager(tokens, *states[0]), step(tokens, *states[1])
        states = (tuple(before), tuple(after))
        expected.append(softmax(wanted))
        answered.append(softmax(given))
        cumulative = expected[-1].cumsum(1)
        draws = generator.random((len(tokens), 1)) * cumulative[:, -1:]
        tokens = (cumulative < draws).sum(1).clip(max=cumulative.shape[1] - 1).astype(np.int64)
    return np.concatenate(expected), np.concatenate(answered)


def _compared(
    out: Path, data: str, batches: tuple[int, ...], expected: Probabilities, answered: Probabilities, limits: Limits
) -> Parity:
    """The comparison of all probabilities. Raises UnfinishedError as `check_classifier` does."""
    largest = float(np.abs(expected - answered).max())
    was, became = expected.argmax(1), answered.argmax(1)
    rows = np.arange(len(expected))
    is_tie = expected[rows, was] - expected[rows, became] <= limits.rounding
    changed = int((~is_tie).sum())
    if changed or not largest <= limits.tolerance:
        what = (
            f"the exported model answers differently: {changed} of {len(rows)} classes changed, largest difference of "
            f"a probability {largest:.2g} (--tolerance {limits.tolerance:g}); nothing was written"
        )
        raise UnfinishedError(out, what, limits.fix)
    ties = int((was != became).sum())
    return Parity(data, len(rows), batches, largest, 1 - ties / len(rows), ties, limits.tolerance)
