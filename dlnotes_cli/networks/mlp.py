"""The multi-layer perceptron."""

import math
from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from dlnotes_cli.networks.choices import MAX_UNITS, Activation, check_hidden

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky-relu": nn.LeakyReLU,
    "gelu": nn.GELU,
}
_BF16_WIDTH = 256  # units of a hidden layer from which bf16 saves more time than its conversions take
_BF16_BATCH_SIZE = 128  # likewise for samples in a step


@dataclass(frozen=True)
class MlpConfig:
    """The configuration of a multi-layer perceptron, from which it can be built again."""

    inputs: int  # values of a sample
    classes: int
    hidden: tuple[int, ...] = (512, 512)  # units of the hidden layers
    activation: Activation = "relu"
    dropout: float = 0.0
    batch_norm: bool = False

    def __post_init__(self) -> None:
        """Validate the values, which may come from a file. Raises ValueError."""
        if not 1 <= self.inputs <= MAX_UNITS or not 1 <= self.classes <= MAX_UNITS:
            raise ValueError("inputs or classes")
        check_hidden(self.hidden)
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout")

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether the network reads samples of this shape."""
        return math.prod(shape) == self.inputs


def build_mlp(config: MlpConfig) -> nn.Sequential:
    """A network from samples (N, ...) of `inputs` values to logits (N, classes).

    A hidden layer is linear, then batch norm, activation and dropout. With batch norm, the linear layer has no bias.
    """
    layers: list[tuple[str, nn.Module]] = [("flatten", nn.Flatten())]
    width = config.inputs
    for i, units in enumerate(config.hidden, start=1):
        layers.append((f"linear{i}", nn.Linear(width, units, bias=not config.batch_norm)))
        if config.batch_norm:
            layers.append((f"norm{i}", nn.BatchNorm1d(units)))
        layers.append((f"activation{i}", _ACTIVATIONS[config.activation]()))
        if config.dropout:
            layers.append((f"dropout{i}", nn.Dropout(config.dropout)))
        width = units
    layers.append(("output", nn.Linear(width, config.classes)))
    return nn.Sequential(OrderedDict(layers))


def bf16_pays(config: MlpConfig, batch_size: int) -> bool:
    """Whether bf16 is faster for this network: it is for wide layers and large batches."""
    return batch_size >= _BF16_BATCH_SIZE and max(config.hidden, default=0) >= _BF16_WIDTH
