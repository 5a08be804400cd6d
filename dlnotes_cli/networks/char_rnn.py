"""Character-level language model: a recurrent network that predicts the next token from those before it."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.networks.choices import CellType

RecurrentState = tuple[
    Tensor, ...
]  # hidden state h (layers, B, hidden), and for an LSTM cell state c of the same shape
_LAYER_TYPES: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_MAX_WIDTH, _MAX_LAYERS = 1 << 20, 64
_BF16_MIN_HIDDEN, _BF16_MIN_BATCH = 128, 8  # from these on, faster bf16 products outweigh the conversions


@dataclass(frozen=True)
class CharRnnConfig:
    """Everything needed to build the network; stored in the model file."""

    vocabulary: int
    cell: CellType = "lstm"
    layers: int = 2
    hidden: int = 384
    embed: int = 384  # embedding size; 0: one-hot
    dropout: float = 0.0
    tied: bool = False
    residual: bool = False  # each layer but the first adds its input to its output

    def __post_init__(self) -> None:
        """Raise ValueError if no network can have this configuration."""
        if not all(1 <= size <= _MAX_WIDTH for size in (self.vocabulary, self.hidden)):
            raise ValueError("size of the vocabulary or the hidden state")
        if not 1 <= self.layers <= _MAX_LAYERS:
            raise ValueError("number of layers")
        if not 0 <= self.embed <= _MAX_WIDTH or (self.tied and not self.embed):
            raise ValueError("embedding size")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout probability")


class CharRnn(nn.Module):
    """Embedding or one-hot, recurrent layers with dropout after each, and a linear layer to the vocabulary.

    With `residual`, the input of each layer but the first is added to its output, after the dropout (He et al. 2016,
    arXiv:1512.03385). The gradient then reaches the first layers directly, and training needs fewer steps.

    With `tied`, the output layer shares its weights with the embedding (Press and Wolf 2017, arXiv:1608.05859). If
    the embedding size differs from the hidden size, a linear layer projects to it first.
    """

    def __init__(self, config: CharRnnConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.embed) if config.embed else None
        input_sizes = [config.embed or config.vocabulary] + [config.hidden] * (config.layers - 1)
        layer_type = _LAYER_TYPES[config.cell]
        self.layers = nn.ModuleList(layer_type(size, config.hidden, batch_first=True) for size in input_sizes)
        self.dropout = nn.Dropout(config.dropout)
        self.narrow: nn.Linear | None = None  # projection to the embedding size; model files have it by this name
        if config.tied and config.embed != config.hidden:
            self.narrow = nn.Linear(config.hidden, config.embed)
        self.output = _OutputBias(config.vocabulary) if config.tied else nn.Linear(config.hidden, config.vocabulary)
        if self.embedding is not None and config.tied:
            nn.init.normal_(self.embedding.weight, 0.0, config.embed**-0.5)

    def output_layer(self) -> tuple[Tensor, Tensor]:
        """Weight (vocabulary, width) and bias (vocabulary,) of the output layer."""
        if isinstance(self.output, nn.Linear):
            return self.output.weight, self.output.bias
        if self.embedding is None:
            raise TypeError("tied without an embedding")
        return self.embedding.weight, self.output.bias

    def initial_state(self, batch_size: int) -> RecurrentState:
        """The state before the first token: zeros."""
        weight, _ = self.output_layer()
        count = 2 if self.config.cell == "lstm" else 1
        shape = (self.config.layers, batch_size, self.config.hidden)
        return tuple(torch.zeros(shape, device=weight.device, dtype=weight.dtype) for _ in range(count))

    def forward(self, tokens: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Logits (B, T, vocabulary) for tokens (B, T) and the state before them, and the state after them."""
        x = self.embedded(tokens)
        layer_states = []
        for i, layer in enumerate(self.layers):
            before = tuple(tensor[i : i + 1].contiguous() for tensor in state)
            outputs, after = layer(x, before if len(before) > 1 else before[0])
            layer_states.append(after if isinstance(after, tuple) else (after,))
            if self.config.dropout:
                outputs = self.dropout(outputs)
            x = self.next_input(i, x, outputs)
        new_state = tuple(torch.cat(tensors) for tensors in zip(*layer_states, strict=True))
        return self.scores(x), new_state

    def embedded(self, tokens: Tensor) -> Tensor:
        """The inputs (..., width) of the first layer for tokens (...)."""
        if self.embedding is None:
            return F.one_hot(tokens, self.config.vocabulary).to(self.output.bias.dtype)
        embedded: Tensor = self.embedding(tokens)
        return embedded

    def next_input(self, layer: int, x: Tensor, outputs: Tensor) -> Tensor:
        """What is read after layer number `layer`, from 0: its outputs, with `residual` plus its inputs x."""
        return x + outputs if self.config.residual and layer > 0 else outputs

    def scores(self, x: Tensor) -> Tensor:
        """Logits (..., vocabulary) for the outputs (..., hidden) of the last layer."""
        return F.linear(x if self.narrow is None else self.narrow(x), *self.output_layer())


class _OutputBias(nn.Module):
    """The bias of a tied output layer, whose weight belongs to the embedding."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(size))


def bf16_pays(config: CharRnnConfig, batch_size: int) -> bool:
    """Whether bf16 is faster than fp32 for this network: it needs wide layers and several sequences per batch."""
    return config.hidden >= _BF16_MIN_HIDDEN and batch_size >= _BF16_MIN_BATCH
