"""The likelihood of texts under a character model: cross-entropy, bits per character and perplexity."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.texts.characters import Text
from dlnotes_cli.device import Runtime
from dlnotes_cli.training.distributed import ALONE, Processes
from dlnotes_cli.training.sequence_batches import IGNORED, SequenceBatch, SequenceBatches, forward_batch, initial_state

_BATCH_SIZE, _SEQ_LEN = 64, 128
_WARM_UP_STEPS = 4  # chunks that each row reads before those it is scored on
_LARGEST_EXPONENT = 700.0  # of a float64


@dataclass(frozen=True)
class LanguageMetrics:
    """Means over the predicted characters; nan if there are none."""

    loss: float  # cross-entropy in nats
    bits_per_char: float
    perplexity: float


@dataclass(frozen=True)
class NegativeLogLikelihood:
    """The negative log-likelihood of one or more texts, in nats, summed over the characters of each."""

    sums: NDArray[np.float64]  # (texts,)
    predicted: NDArray[np.int64]  # (texts,): predicted characters, all but the first of a text
    correct: int  # characters that were the most probable
    surprisals: NDArray[np.float32]  # of the leading characters, as many as requested; nan for the first of a text

    def metrics(self, text: int | None = None) -> LanguageMetrics:
        """The metrics of one text, by index, or of all texts together."""
        chosen = slice(None) if text is None else slice(text, text + 1)
        count = int(self.predicted[chosen].sum())
        loss = float(self.sums[chosen].sum()) / count if count else math.nan
        return LanguageMetrics(loss, loss / math.log(2), math.exp(min(loss, _LARGEST_EXPONENT)))


def negative_log_likelihood(
    network: nn.Module, text: Text, runtime: Runtime, poll: Callable[[], None] = lambda: None, *, surprisals: int = 0,
    processes: Processes = ALONE,
) -> NegativeLogLikelihood:  # fmt: skip
    """Read whole texts with carried state, from a zero state at the start of each.

    The rows of a batch read in parallel. Each row first reads the 512 characters in front of its own, from which it
    gets a state that no longer depends on the zeros it started with. The first `surprisals` characters are also kept
    one by one. `poll` is called after each batch and may raise to stop. Of several processes each reads some of the
    rows, and all return the sums.
    """
    network.eval()
    batches = SequenceBatches(text, _BATCH_SIZE, _SEQ_LEN)
    own_rows = len(range(batches.batch_size)[processes.rows])
    state = initial_state(network, own_rows)
    totals = _Totals(text, surprisals)
    with torch.inference_mode():
        for step in range(-_WARM_UP_STEPS if batches.batch_size > 1 else 0, batches.steps if own_rows else 0):
            batch = batches.batch(step).rows(processes.rows)
            logits, state = forward_batch(network, batch, state, runtime)
            if step >= 0:
                totals.add(batch, logits)
            poll()
    return totals.result(processes)


class _Totals:
    """Sums over the batches read so far."""

    def __init__(self, text: Text, surprisals: int) -> None:
        self._starts = np.array(text.bounds[:-1], np.int64)
        self._sums = np.zeros(len(self._starts))
        self._predicted = np.zeros(len(self._starts), np.int64)
        self._correct = np.zeros(1, np.int64)
        self._surprisals = np.full(min(surprisals, len(text)), np.nan, np.float32)

    def add(self, batch: SequenceBatch, logits: Tensor) -> None:
        """Add one batch and its logits (B * T, vocabulary)."""
        targets = batch.targets.to(logits.device)
        losses = F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="none")
        is_target = (batch.targets != IGNORED).numpy()
        positions, nats = batch.target_positions[is_target], losses.view(targets.shape).cpu().numpy()[is_target]
        texts = np.searchsorted(self._starts, positions, side="right") - 1
        np.add.at(self._sums, texts, nats)
        np.add.at(self._predicted, texts, 1)
        is_kept = positions < len(self._surprisals)
        self._surprisals[positions[is_kept]] = nats[is_kept]
        self._correct += int((logits.argmax(1) == targets.flatten()).sum())

    def result(self, processes: Processes) -> NegativeLogLikelihood:
        """The negative log-likelihood of what was read, by all processes."""
        for array in (self._sums, self._predicted, self._correct):
            processes.sum(torch.from_numpy(array))  # in place
        return NegativeLogLikelihood(self._sums, self._predicted, int(self._correct[0]), self._surprisals)
