"""Recurrent language models: the next character from those before it."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.models.dropout import Dropout

State = tuple[Tensor, ...]  # (layers, B, hidden) each: hidden state, and of an LSTM the cells' memory
_KINDS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_MOST_UNITS, _MOST_LAYERS = 1 << 20, 64
_WIDE, _SEVERAL = 128, 8  # cells and streams from which bf16 arithmetic outweighs its conversions


@dataclass(frozen=True)
class CharRnnConfig:
    """All that it takes to build the network again."""

    vocabulary: int
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    layers: int = 2
    hidden: int = 384
    embed: int = 384  # 0: one-hot
    dropout: float = 0.0
    tied: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError where no network could have this form."""
        if not all(1 <= units <= _MOST_UNITS for units in (self.vocabulary, self.hidden)):
            raise ValueError("units of a layer")
        if not 1 <= self.layers <= _MOST_LAYERS:
            raise ValueError("layers")
        if not 0 <= self.embed <= _MOST_UNITS or (self.tied and not self.embed):
            raise ValueError("embedding")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout")


class CharRnn(nn.Module):
    """Embedding or one-hot, layers of cells with dropout behind each, and a linear layer to the vocabulary.

    `tied` uses the embedding, transposed, as output weights (Press and Wolf 2017, arXiv:1608.05859), behind a linear
    layer where it is of another width than the cells.
    """

    def __init__(self, config: CharRnnConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.embed) if config.embed else None
        widths = [config.embed or config.vocabulary] + [config.hidden] * (config.layers - 1)
        self.layers = nn.ModuleList(_KINDS[config.cell](width, config.hidden, batch_first=True) for width in widths)
        self.dropout = Dropout(config.dropout)
        self.narrow: nn.Linear | None = None
        if config.tied and config.embed != config.hidden:
            self.narrow = nn.Linear(config.hidden, config.embed)
        self.output = _Bias(config.vocabulary) if config.tied else nn.Linear(config.hidden, config.vocabulary)
        if self.embedding is not None and config.tied:
            nn.init.normal_(self.embedding.weight, 0.0, config.embed**-0.5)

    def output_layer(self) -> tuple[Tensor, Tensor]:
        """Weights (vocabulary, width) and bias of the last layer."""
        if isinstance(self.output, nn.Linear):
            return self.output.weight, self.output.bias
        if self.embedding is None:
            raise TypeError("tied without an embedding")
        return self.embedding.weight, self.output.bias

    def first_state(self, batch: int) -> State:
        """Zeros for `batch` streams."""
        weight, _ = self.output_layer()
        count = 2 if self.config.cell == "lstm" else 1
        shape = (self.config.layers, batch, self.config.hidden)
        return tuple(torch.zeros(shape, device=weight.device, dtype=weight.dtype) for _ in range(count))

    def forward(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Tokens (B, T) and the state before them to logits (B, T, vocabulary) and the state behind them."""
        if self.embedding is None:
            x = F.one_hot(tokens, self.config.vocabulary).to(self.output.bias.dtype)
        else:
            x = self.embedding(tokens)
        behind = []
        for i, layer in enumerate(self.layers):
            before = tuple(part[i : i + 1].contiguous() for part in state)
            x, after = layer(x, before if len(before) > 1 else before[0])
            behind.append(after if isinstance(after, tuple) else (after,))
            if self.config.dropout:
                x = self.dropout(x)
        if self.narrow is not None:
            x = self.narrow(x)
        return F.linear(x, *self.output_layer()), tuple(torch.cat(parts) for parts in zip(*behind, strict=True))


class _Bias(nn.Module):
    """The part of a tied output layer that is its own."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(size))


def build_char_rnn(config: CharRnnConfig) -> CharRnn:
    """A network with PyTorch's first weights."""
    return CharRnn(config)


def bf16_pays(config: CharRnnConfig, batch_size: int) -> bool:
    """Whether bf16 is faster for this network: wide layers that several streams share."""
    return config.hidden >= _WIDE and batch_size >= _SEVERAL
