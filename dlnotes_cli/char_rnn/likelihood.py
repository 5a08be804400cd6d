"""The likelihood of texts under a character model: cross-entropy, bits per character and perplexity."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.texts.characters import Text
from dlnotes_cli.device import Runtime
from dlnotes_cli.training.distributed import ALONE, Processes
from dlnotes_cli.training.sequence_batches import IGNORED, SequenceBatches, forward_batch, initial_state

_BATCH_SIZE, _SEQ_LEN = 64, 128
_WARM_UP_STEPS = 4  # chunks that each row reads before those it is scored on
_LARGEST_EXPONENT = 700.0  # of a float64


class LanguageMetrics(NamedTuple):
    """Means over the predicted characters; nan if there are none."""

    loss: float  # cross-entropy in nats
    bits_per_char: float
    perplexity: float

    @classmethod
    def of(cls, nats: NDArray[np.float32], predicted: int) -> "LanguageMetrics":
        """The metrics of characters with these surprisals (N,), of which so many are predicted; the others have 0."""
        loss = float(nats.sum(dtype=np.float64)) / predicted if predicted else math.nan
        return cls(loss, loss / math.log(2), math.exp(min(loss, _LARGEST_EXPONENT)))


class Surprisals(NamedTuple):
    """How surprising each character of a text is."""

    nats: NDArray[np.float32]  # (N,): the negative log-likelihoods; 0 for the first character of a text
    correct: int  # characters that were the most probable


def surprisals_of(
    network: nn.Module, text: Text, runtime: Runtime, poll: Callable[[], None] = lambda: None,
    processes: Processes = ALONE,
) -> Surprisals:  # fmt: skip
    """Read whole texts with carried state, from a zero state at the start of each.

    The rows of a batch read in parallel. Each row first reads the 512 characters in front of its own, from which it
    gets a state that no longer depends on the zeros it started with. `poll` is called after each batch and may raise to
    stop. Of several processes each reads some of the rows, and all return the surprisals of all.
    """
    network.eval()
    batches = SequenceBatches(text, _BATCH_SIZE, _SEQ_LEN)
    own_rows = len(range(batches.batch_size)[processes.rows])
    state = initial_state(network, own_rows)
    nats, correct = np.zeros(len(text), np.float32), np.zeros(1, np.int64)
    with torch.inference_mode():
        for step in range(-_WARM_UP_STEPS if batches.batch_size > 1 else 0, batches.steps if own_rows else 0):
            batch = batches.batch(step).rows(processes.rows)
            logits, state = forward_batch(network, batch, state, runtime)
            if step >= 0:
                targets = runtime.to_device(batch.targets).flatten()
                losses = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
                is_target = (batch.targets != IGNORED).numpy()
                nats[batch.target_positions[is_target]] = losses.view(batch.targets.shape).cpu().numpy()[is_target]
                correct += int((logits.argmax(1) == targets).sum())
            poll()
    for array in (nats, correct):
        processes.sum(torch.from_numpy(array))  # in place
    return Surprisals(nats, int(correct[0]))
