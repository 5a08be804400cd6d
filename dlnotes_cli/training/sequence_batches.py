"""Batches for truncated backpropagation through time: a text in parallel rows, read in consecutive chunks."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.texts.characters import Text
from dlnotes_cli.device import Runtime
from dlnotes_cli.networks.char_rnn import RecurrentState

IGNORED = -100  # target of a padded position, the default `ignore_index` of cross_entropy


class SequenceBatch(NamedTuple):
    """One chunk for each row of the batch, padded to the longest."""

    inputs: Tensor  # int64 (B, T)
    targets: Tensor  # int64 (B, T): the token after each input; IGNORED for padding
    reset: Tensor  # bool (B,): rows that start with a zero state, for example at the start of a text
    target_positions: NDArray[np.int64]  # (B, T): where in the text each target is
    predicted: int  # targets without the padding

    def rows(self, which: "slice | NDArray[np.int64]") -> "SequenceBatch":
        """Some of the rows."""
        targets = self.targets[which]
        predicted = int((targets != IGNORED).sum())
        return SequenceBatch(self.inputs[which], targets, self.reset[which], self.target_positions[which], predicted)


class SequenceBatches:
    """A text cut into chunks of at most `seq_len` tokens; each of `batch_size` rows reads consecutive chunks.

    Each token except the first of each text is the target exactly once. No chunk crosses the boundary of two texts.
    `offset` (1 to `seq_len`) is the length of the first chunk of each text, so that epochs with different offsets cut
    the text at different positions; the number of steps is the same for all offsets. The chunk after a shorter one
    starts with a zero state, because the state of the shorter one has also read its padding. With an offset, the last
    step may have nothing to predict.

    >>> batches = SequenceBatches(Text(np.arange(1, 14), (0, 13), ("notes",)), batch_size=2, seq_len=3)
    >>> [batches.batch(step).inputs.tolist() for step in range(batches.steps)]
    [[[1, 2, 3], [7, 8, 9]], [[4, 5, 6], [10, 11, 12]]]
    """

    def __init__(self, text: Text, batch_size: int, seq_len: int, offset: int | None = None) -> None:
        self._tokens = text.tokens
        starts, stops, resets = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, bool)]
        most_chunks = 0  # over all offsets
        first_length = offset or seq_len
        for begin, end in pairwise(text.bounds):
            if end - begin > 1:
                cuts = np.concatenate([[begin], np.arange(begin + first_length, end - 1, seq_len)])
                is_after_shorter = (cuts == begin + first_length) & (first_length < seq_len)
                starts.append(cuts)
                stops.append(np.append(cuts[1:], end - 1))
                resets.append((cuts == begin) | is_after_shorter)
                most_chunks += len(cuts) if offset is None else 1 + -(-(end - begin - 2) // seq_len)
        self._starts, self._stops, self._resets = (np.concatenate(arrays) for arrays in (starts, stops, resets))
        self.predicted = int((self._stops - self._starts).sum())
        self.batch_size = max(1, min(batch_size, most_chunks))  # lower than requested if there are too few chunks
        self.steps = -(-most_chunks // self.batch_size)

    def batch(self, step: int) -> SequenceBatch:
        """The batch of a step. A negative step gives the chunks in front of those that the rows start with."""
        chunks = np.arange(self.batch_size) * self.steps + step
        exists = (chunks >= 0) & (chunks < len(self._starts))
        chunks = np.where(exists, chunks, 0)
        starts = self._starts[chunks]
        lengths = np.where(exists, self._stops[chunks] - starts, 0)
        width = int(lengths.max(initial=1)) or 1
        columns = np.arange(width)
        is_token = columns < lengths[:, None]  # and not padding
        positions = np.where(is_token, starts[:, None] + columns, 0)
        targets = np.where(is_token, self._tokens[positions + 1].astype(np.int64), IGNORED)
        return SequenceBatch(
            torch.from_numpy(self._tokens[positions].astype(np.int64)),
            torch.from_numpy(targets),
            torch.from_numpy(exists & self._resets[chunks]),
            positions + 1,
            int(lengths.sum()),
        )


def forward_batch(
    network: Callable[..., tuple[Tensor, RecurrentState]], batch: SequenceBatch, state: RecurrentState, runtime: Runtime
) -> tuple[Tensor, RecurrentState]:
    """Logits float32 (B * T, vocabulary) of a batch, and the state after it; rows to reset start with a zero state."""
    if batch.reset.numpy().any():
        keep = runtime.to_device(~batch.reset)[None, :, None]
        state = tuple(tensor * keep for tensor in state)
    with runtime.autocast():
        logits, state = network(runtime.to_device(batch.inputs), state)
    return logits.flatten(0, 1).float(), state


def initial_state(network: nn.Module, batch_size: int) -> RecurrentState:
    """The state before the first character: zeros."""
    state: RecurrentState = network.initial_state(batch_size)  # type: ignore[operator]  # a method of every language model
    return state
