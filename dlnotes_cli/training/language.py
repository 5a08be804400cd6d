"""How well a network continues text: its surprise at every character, with its state carried on."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.text import Text
from dlnotes_cli.data.windows import IGNORED, Streams, Window
from dlnotes_cli.device import Machine

State = tuple[Tensor, ...]
_STREAMS, _WINDOW = 64, 128
_WARM_UP = 4  # windows that each stream reads before those it is scored on


@dataclass(frozen=True)
class Surprise:
    """The surprise at the characters of a text."""

    nats: NDArray[np.float32]  # (N,): minus the log of each character's probability; nan where none was predicted
    correct: int  # characters that were the most probable

    @property
    def predicted(self) -> int:
        """Characters that were predicted: all but the first of each text."""
        return int(np.isfinite(self.nats).sum())


def surprise(network: nn.Module, text: Text, machine: Machine, poll: Callable[[], None] = lambda: None) -> Surprise:
    """Read a whole text with carried state, from zeros at the beginning of each of its texts.

    Streams run side by side; each begins with what precedes it, 512 characters, which is where a state comes from that
    has forgotten how it began. `poll` is called between windows and may raise to stop.
    """
    network.eval()
    streams = Streams(text, _STREAMS, _WINDOW)
    state = first_state(network, streams.rows)
    nats, correct = np.full(len(text), np.nan, np.float32), 0
    warm_up = min(_WARM_UP, streams.steps - 1) if streams.rows > 1 else 0
    with torch.inference_mode():
        for step in range(-warm_up, streams.steps):
            window = streams.window(step)
            logits, state = read(network, window, state, machine)
            if step >= 0:
                targets = window.targets.to(logits.device)
                losses = F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="none")
                there = (window.targets != IGNORED).numpy()
                nats[window.places[there]] = losses.view(targets.shape).cpu().numpy()[there]
                correct += int((logits.argmax(1) == targets.flatten()).sum())
            poll()
    return Surprise(nats, correct)


def read(network: nn.Module, window: Window, state: State, machine: Machine) -> tuple[Tensor, State]:
    """Logits float32 (B * T, vocabulary) of a window, and the state behind it; fresh rows begin with zeros."""
    if bool(window.fresh.any()):
        kept = (~window.fresh).to(machine.device)[None, :, None]
        state = tuple(part * kept for part in state)
    with machine.autocast():
        logits, state = network(window.inputs.to(machine.device), state)
    return logits.flatten(0, 1).float(), state


def first_state(network: nn.Module, rows: int) -> State:
    """The state before the first character of `rows` streams."""
    state: State = network.first_state(rows)  # type: ignore[operator]  # a method of every language model
    return state


def scores(found: Surprise) -> dict[str, Any]:
    """Means over the predicted characters: nats, bits, perplexity, and the part that was most probable."""
    count = max(found.predicted, 1)
    loss = float(np.nansum(found.nats, dtype=np.float64)) / count
    return {**of_loss(loss), "accuracy": found.correct / count, "samples": found.predicted}


def of_loss(loss: float) -> dict[str, float]:
    """A mean loss in nats, as bits per character and as perplexity too."""
    return {"loss": loss, "bits_per_char": loss / math.log(2), "perplexity": math.exp(min(loss, 700.0))}
