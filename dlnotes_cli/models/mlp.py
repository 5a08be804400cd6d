"""The multi-layer perceptron."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlnotes_cli.models.choices import Activation, Initialization
from dlnotes_cli.models.dropout import Dropout

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky-relu": nn.LeakyReLU,
    "gelu": nn.GELU,
}
_WIDE = 256  # units from which bf16 arithmetic outweighs its conversions
_LARGE_BATCH = 128  # likewise for the samples in a step
_MOST_UNITS = 1 << 28  # in a layer; the weights between two such layers still have a size in bytes


@dataclass(frozen=True)
class MlpConfig:
    """All that it takes to build the network again."""

    inputs: int
    classes: int
    hidden: tuple[int, ...] = (512, 512)
    activation: Activation = "relu"
    dropout: float = 0.0
    batch_norm: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError where no network could have this form."""
        if not all(1 <= units <= _MOST_UNITS for units in (self.inputs, self.classes, *self.hidden)):
            raise ValueError("units of a layer")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout")


def build_mlp(config: MlpConfig) -> nn.Sequential:
    """A network from samples (N, ...) of `inputs` numbers to logits (N, classes).

    Each hidden layer is linear, batch norm (then the linear layer has no bias of its own), activation, dropout.
    """
    layers: list[tuple[str, nn.Module]] = [("flatten", nn.Flatten())]
    width = config.inputs
    for i, units in enumerate(config.hidden, start=1):
        layers.append((f"linear{i}", nn.Linear(width, units, bias=not config.batch_norm)))
        if config.batch_norm:
            layers.append((f"norm{i}", nn.BatchNorm1d(units)))
        layers.append((f"activation{i}", _ACTIVATIONS[config.activation]()))
        if config.dropout:
            layers.append((f"dropout{i}", Dropout(config.dropout)))
        width = units
    layers.append(("output", nn.Linear(width, config.classes)))
    return nn.Sequential(OrderedDict(layers))


def initialize(model: nn.Module, how: Initialization) -> None:
    """Set the first weights of every linear layer, biases to zero; `default` keeps PyTorch's.

    `uniform` draws from [-y, y) and `normal` with deviation y, where y = 1 / sqrt(inputs of the layer).
    """
    if how == "default":
        return
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            _set_weights(layer.weight, how, layer.in_features**-0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def bf16_pays(config: MlpConfig, batch_size: int) -> bool:
    """Whether bf16 is faster for this network: only wide layers in large batches gain."""
    return batch_size >= _LARGE_BATCH and max(config.hidden, default=0) >= _WIDE


@torch.no_grad()
def _set_weights(weight: Tensor, how: Initialization, y: float) -> None:
    if how == "zeros":
        weight.zero_()
    elif how == "ones":
        weight.fill_(1.0)
    elif how == "uniform":
        weight.uniform_(-y, y)
    else:
        weight.normal_(0.0, y)
