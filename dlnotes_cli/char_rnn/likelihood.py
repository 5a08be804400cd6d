"""How well a network continues text: its surprise at every character, with its state carried on."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.char_rnn.streams import IGNORED, Streams, Window
from dlnotes_cli.data.text import Text
from dlnotes_cli.device import Runtime
from dlnotes_cli.models.char_rnn import State

_STREAMS, _WINDOW = 64, 128
_WARM_UP = 4  # windows that each stream reads before those it is scored on


@dataclass(frozen=True)
class Surprise:
    """The surprise at the characters of texts: minus the logs of the probabilities that they had, in nats."""

    sums: NDArray[np.float64]  # (texts,)
    predicted: NDArray[np.int64]  # (texts,): characters that were, all but the first of a text
    correct: int  # characters that were the most probable
    first: NDArray[np.float32]  # of the first characters, as many as were asked for; nan where none was predicted

    def measures(self, text: int | None = None) -> dict[str, float]:
        """Means over a text, or over all: nats, bits per character, perplexity; nan where nothing was predicted."""
        chosen = slice(None) if text is None else slice(text, text + 1)
        count = int(self.predicted[chosen].sum())
        loss = float(self.sums[chosen].sum()) / count if count else math.nan
        return {"loss": loss, "bits_per_char": loss / math.log(2), "perplexity": math.exp(min(loss, 700.0))}


def surprise(
    network: nn.Module, text: Text, runtime: Runtime, poll: Callable[[], None] = lambda: None, *, first: int = 0
) -> Surprise:
    """Read whole texts with carried state, from zeros at the beginning of each.

    Streams run side by side; each begins with what precedes it, 512 characters, which is where a state comes from that
    has forgotten how it began. The surprise at the `first` characters is kept one by one. `poll` is called between
    windows and may raise to stop.
    """
    network.eval()
    streams = Streams(text, _STREAMS, _WINDOW)
    state = first_state(network, streams.rows)
    begins = np.array(text.bounds[:-1], np.int64)
    sums, predicted = np.zeros(len(begins)), np.zeros(len(begins), np.int64)
    nats, correct = np.full(min(first, len(text)), np.nan, np.float32), 0
    with torch.inference_mode():
        for step in range(-_WARM_UP if streams.rows > 1 else 0, streams.steps):
            window = streams.window(step)
            logits, state = read_window(network, window, state, runtime)
            if step >= 0:
                targets = window.targets.to(logits.device)
                losses = F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="none")
                there = (window.targets != IGNORED).numpy()
                places, found = window.places[there], losses.view(targets.shape).cpu().numpy()[there]
                of_text = np.searchsorted(begins, places, side="right") - 1
                np.add.at(sums, of_text, found)
                np.add.at(predicted, of_text, 1)
                nats[places[places < len(nats)]] = found[places < len(nats)]
                correct += int((logits.argmax(1) == targets.flatten()).sum())
            poll()
    return Surprise(sums, predicted, correct, nats)


def read_window(network: nn.Module, window: Window, state: State, runtime: Runtime) -> tuple[Tensor, State]:
    """Logits float32 (B * T, vocabulary) of a window, and the state behind it; fresh rows begin with zeros."""
    if bool(window.fresh.any()):
        kept = (~window.fresh).to(runtime.device)[None, :, None]
        state = tuple(part * kept for part in state)
    with runtime.autocast():
        logits, state = network(window.inputs.to(runtime.device), state)
    return logits.flatten(0, 1).float(), state


def first_state(network: nn.Module, rows: int) -> State:
    """The state before the first character of `rows` streams."""
    state: State = network.first_state(rows)  # type: ignore[operator]  # a method of every language model
    return state
