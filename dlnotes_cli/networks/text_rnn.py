"""Text classifiers: a linear one, and a recurrent one of embedding, LSTM or GRU layers, pooling and linear output.

PyTorch runs packed sequences on a CPU 6 to 8 times slower than padded ones. Padding stands behind the tokens here: a
forward layer reads it after all tokens, and a backward layer gets each text reversed within its own length. What the
layers compute of padding is left out of the pooling. So padding never changes a result.
"""

from dataclasses import dataclass
from typing import get_args

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.networks.choices import GatedCell, TokenPooling

_LAYER_TYPES: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}
_MAX_LAYERS, _MAX_WIDTH, _MAX_VOCABULARY = 64, 1 << 20, 1 << 26
_PADDING = 0
_MAX_FEATURES, _MAX_CLASSES = 1 << 24, 1 << 16


@dataclass(frozen=True)
class TextRnnConfig:
    """The configuration of a recurrent text classifier, from which it can be built again."""

    vocabulary: int  # distinct tokens, with that of padding
    classes: int
    cell: GatedCell = "lstm"
    layers: int = 1
    hidden: int = 128
    embed: int = 128
    bidirectional: bool = True
    pooling: TokenPooling = "max"
    embed_dropout: float = 0.0
    dropout: float = 0.0  # between recurrent layers
    head_dropout: float = 0.0
    single_output: bool = False  # two classes have one output, the log-odds of the second
    reads_padding: bool = False  # padding stands in front of the tokens, and is read like them

    def __post_init__(self) -> None:
        """Validate the values, which may come from a file. Raises ValueError."""
        if self.cell not in get_args(GatedCell) or self.pooling not in get_args(TokenPooling):
            raise ValueError("cell or pooling")
        if not 1 <= self.vocabulary <= _MAX_VOCABULARY:
            raise ValueError("size of the vocabulary")
        if not all(1 <= size <= _MAX_WIDTH for size in (self.classes, self.hidden, self.embed)):
            raise ValueError("classes, hidden size or embedding size")
        if not 1 <= self.layers <= _MAX_LAYERS or (self.single_output and self.classes != 2):  # noqa: PLR2004
            raise ValueError("number of layers or outputs")
        if not all(0 <= p < 1 for p in (self.embed_dropout, self.dropout, self.head_dropout)):
            raise ValueError("dropout probability")


class TextRnn(nn.Module):
    """A recurrent classifier of texts.

    The state is zero at the start of every text: in the course's notebook it is carried from batch to batch, although
    the batches are shuffled.
    """

    def __init__(self, config: TextRnnConfig) -> None:
        super().__init__()
        self.config = config
        directions = 2 if config.bidirectional else 1
        width = config.hidden * directions
        self.embedding = nn.Embedding(config.vocabulary, config.embed)
        layer_type = _LAYER_TYPES[config.cell]
        inputs = [config.embed] + [width] * (config.layers - 1)
        self.forward_layers = nn.ModuleList(layer_type(size, config.hidden, batch_first=True) for size in inputs)
        self.backward_layers = nn.ModuleList(
            layer_type(size, config.hidden, batch_first=True) for size in inputs if config.bidirectional
        )
        self.attention = nn.Linear(width, 1) if config.pooling == "attention" else None
        self.embed_dropout, self.dropout = nn.Dropout(config.embed_dropout), nn.Dropout(config.dropout)
        self.head_dropout = nn.Dropout(config.head_dropout)
        self.output = nn.Linear(width, 1 if config.single_output else config.classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (N, classes) of tokens (N, T), in which 0 is padding."""
        return self.scores(self.embedding(tokens), self.lengths(tokens))

    def lengths(self, tokens: Tensor) -> Tensor:
        """The number of tokens of each text, (N,), at least 1."""
        if self.config.reads_padding:
            return torch.full((len(tokens),), tokens.shape[1], device=tokens.device)
        return (tokens != _PADDING).sum(1).clamp(min=1)

    def scores(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, classes) of embedded tokens (N, T, embed)."""
        x = self.embed_dropout(embedded)
        backward_order = self._backward_order(lengths, x.shape[1]) if self.config.bidirectional else None
        for i in range(self.config.layers):
            x = self._layer(i, self.dropout(x) if i else x, backward_order)
        logits: Tensor = self.output(self.head_dropout(self._pooled(x, lengths)))
        return F.pad(logits, (1, 0)) if self.config.single_output else logits

    def _layer(self, i: int, x: Tensor, backward_order: Tensor | None) -> Tensor:
        """The outputs (N, T, width) of recurrent layer i; padding behind the tokens has outputs without meaning."""
        outputs: Tensor = self.forward_layers[i](x)[0]
        if backward_order is None:
            return outputs
        reversed_outputs = self.backward_layers[i](_reordered(x, backward_order))[0]
        return torch.cat([outputs, _reordered(reversed_outputs, backward_order)], dim=2)

    def _backward_order(self, lengths: Tensor, width: int) -> Tensor:
        """For each step of each text (N, T) the step that a backward layer reads; padding stays where it is."""
        steps = torch.arange(width, device=lengths.device)
        return torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)

    def _pooled(self, x: Tensor, lengths: Tensor) -> Tensor:
        """One vector per text, (N, width), from the outputs (N, T, width) of the last layer."""
        if self.config.pooling == "last":
            return self._last(x, lengths)
        is_padding = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]
        if self.config.pooling == "max":
            return x.masked_fill(is_padding[:, :, None], -torch.inf).amax(1)
        if self.attention is None:
            return x.masked_fill(is_padding[:, :, None], 0.0).sum(1) / lengths[:, None]
        weights = self.attention(x)[:, :, 0].masked_fill(is_padding, -torch.inf).softmax(1)
        pooled: Tensor = weights[:, None] @ x.masked_fill(is_padding[:, :, None], 0.0)  # (N, 1, width)
        return pooled[:, 0]

    def _last(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The outputs of each direction after its last token."""
        hidden = self.config.hidden
        last = (lengths - 1)[:, None, None].expand(-1, 1, hidden)
        forward = x[:, :, :hidden].gather(1, last)[:, 0]
        return torch.cat([forward, x[:, 0, hidden:]], dim=1) if self.config.bidirectional else forward


def _reordered(x: Tensor, order: Tensor) -> Tensor:
    """The steps of x (N, T, width) in the order (N, T)."""
    return x.gather(1, order[:, :, None].expand(-1, -1, x.shape[2]))


@dataclass(frozen=True)
class TextLinearConfig:
    """The configuration of a linear text classifier."""

    features: int
    classes: int

    def __post_init__(self) -> None:
        """Validate the values, which may come from a file. Raises ValueError."""
        if not 1 <= self.features <= _MAX_FEATURES or not 2 <= self.classes <= _MAX_CLASSES:  # noqa: PLR2004
            raise ValueError("features or classes")

    @property
    def outputs(self) -> int:
        """Two classes have one output, the log-odds of the second, as in scikit-learn."""
        return 1 if self.classes == 2 else self.classes  # noqa: PLR2004


class TextLinear(nn.Module):
    """Weights (outputs, features), bias (outputs,) and inverse document frequencies (features,), all float64."""

    idf: Tensor

    def __init__(self, config: TextLinearConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.zeros(config.outputs, config.features, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(config.outputs, dtype=torch.float64))
        self.register_buffer("idf", torch.ones(config.features, dtype=torch.float64))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, classes) of features (N, features); for two classes the first logit is 0."""
        logits = features @ self.weight.T + self.bias
        return nn.functional.pad(logits, (1, 0)) if len(self.bias) == 1 else logits
