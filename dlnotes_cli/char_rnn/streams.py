"""Sequence batching: a text in parallel streams, each read window by window."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.text import Text

IGNORED = -100  # the target of a place that holds no character, as cross_entropy has it


class Window(NamedTuple):
    """What one step reads."""

    inputs: Tensor  # int64 (B, T)
    targets: Tensor  # int64 (B, T): the character after each; IGNORED where there is none
    fresh: Tensor  # bool (B,): where no state is carried on, at the beginning of a text for example
    places: NDArray[np.int64]  # (B, T): of the targets, in the text
    predicted: int  # targets that count


class Streams:
    """A text cut into windows of at most `seq_len` characters, dealt in order to `batch_size` streams.

    Every character but the first of each text is predicted just once. A window never reaches from one text into the
    next. Where `first` is given, the first window of each text has that many characters, 1 to `seq_len`, so that
    another `first` cuts at other places; the number of steps is the same for each. The window behind a shorter one is
    fresh, so that no state comes from what fills up the shorter one's row; the last step may predict nothing.

    >>> streams = Streams(Text(np.arange(1, 14), (0, 13), ("notes",)), batch_size=2, seq_len=3)
    >>> [streams.window(step).inputs.tolist() for step in range(streams.steps)]
    [[[1, 2, 3], [7, 8, 9]], [[4, 5, 6], [10, 11, 12]]]
    """

    def __init__(self, text: Text, batch_size: int, seq_len: int, first: int | None = None) -> None:
        self._tokens = text.tokens
        self._seq_len = seq_len
        starts, stops, fresh = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, bool)]
        most = 0
        for begin, end in pairwise(text.bounds):
            if end - begin > 1:
                cuts = np.concatenate([[begin], np.arange(begin + (first or seq_len), end - 1, seq_len)])
                starts.append(cuts)
                stops.append(np.append(cuts[1:], end - 1))
                fresh.append((cuts == begin) | (cuts == begin + (first or seq_len)) & ((first or seq_len) < seq_len))
                most += len(cuts) if first is None else 1 + -(-(end - begin - 2) // seq_len)
        self._starts, self._stops, self._fresh = (np.concatenate(parts) for parts in (starts, stops, fresh))
        self.predicted = int((self._stops - self._starts).sum())
        self.rows = max(1, min(batch_size, most))
        self.steps = -(-most // self.rows)

    def window(self, step: int) -> Window:
        """The windows of all streams at a step; a step below 0 gives what precedes the streams' beginnings."""
        places = np.arange(self.rows) * self.steps + step
        there = (places >= 0) & (places < len(self._starts))
        places = np.where(there, places, 0)
        starts = self._starts[places]
        lengths = np.where(there, self._stops[places] - starts, 0)
        width = int(lengths.max(initial=1)) or 1
        offsets = np.arange(width)
        inside = offsets < lengths[:, None]
        read = np.where(inside, starts[:, None] + offsets, 0)
        return Window(
            torch.from_numpy(self._tokens[read].astype(np.int64)),
            torch.from_numpy(np.where(inside, self._tokens[read + 1].astype(np.int64), IGNORED)),
            torch.from_numpy(there & self._fresh[places]),
            read + 1,
            int(lengths.sum()),
        )
