"""The closed registry of networks, the only names that a model file may have; how they are built and initialized."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from dlnotes_cli.networks.backbones import BackboneConfig, build_backbone
from dlnotes_cli.networks.boosted import BoostedConfig, BoostedTrees
from dlnotes_cli.networks.char_rnn import CharRnn, CharRnnConfig
from dlnotes_cli.networks.choices import WeightInit
from dlnotes_cli.networks.cnn import CnnConfig, build_cnn
from dlnotes_cli.networks.mlp import MlpConfig, build_mlp
from dlnotes_cli.networks.series_rnn import SeriesRnn, SeriesRnnConfig
from dlnotes_cli.networks.text_rnn import TextLinear, TextLinearConfig, TextRnn, TextRnnConfig
from dlnotes_cli.networks.torch_imports import meta_device
from dlnotes_cli.shell import codec

Purpose = Literal["classifier", "language", "series", "text"]


@dataclass(frozen=True)
class RegisteredModel:
    """An entry of the registry: the purpose of a network, the type of its configuration, and its builder."""

    purpose: Purpose
    config_type: type[Any]
    build: Callable[[Any], nn.Module]
    needs_run: bool = False  # whether only a run on the meta device shows if it accepts a shape; it loads slow modules


REGISTRY: dict[str, RegisteredModel] = {
    "mlp": RegisteredModel("classifier", MlpConfig, build_mlp),
    "cnn": RegisteredModel("classifier", CnnConfig, build_cnn),
    "char_rnn": RegisteredModel("language", CharRnnConfig, CharRnn),
    "series_rnn": RegisteredModel("series", SeriesRnnConfig, SeriesRnn),
    "backbone": RegisteredModel("classifier", BackboneConfig, build_backbone, needs_run=True),
    "boosted": RegisteredModel("classifier", BoostedConfig, BoostedTrees),
    "text_rnn": RegisteredModel("text", TextRnnConfig, TextRnn),
    "text_linear": RegisteredModel("text", TextLinearConfig, TextLinear),
}


def build(name: str, config: object) -> nn.Module:
    """The network `name`, with PyTorch's initialization."""
    return REGISTRY[name].build(config)


def build_on_meta(name: str, config: object) -> nn.Module:
    """The network `name` on the meta device: its weights have shapes and no memory."""
    with meta_device():
        return build(name, config)


def config_from_json(name: str, stored: dict[str, Any]) -> Any:
    """The configuration of the network `name` from JSON values of a file.

    Raises KeyError, TypeError or ValueError where a name, a type or a value is invalid.
    """
    return codec.build(REGISTRY[name].config_type, stored)


def check_input(name: str, network: nn.Module, config: Any, shape: tuple[int, ...]) -> None:
    """Check that the classifier `name`, on the meta device and in evaluation mode, reads samples of `shape`.

    Raises ValueError for another shape, and whatever the network raises.
    """
    if not config.accepts(shape):
        raise ValueError(f"samples of {shape} do not fit the network")
    if REGISTRY[name].needs_run:
        with torch.no_grad():
            network(torch.empty(1, *shape, device="meta"))


def count_parameters(network: nn.Module) -> int:
    """The number of parameters of a network, trained and frozen."""
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def initialize(network: nn.Module, init: WeightInit) -> None:
    """Initialize the weights of every linear and convolutional layer, and set their biases to zero.

    `default` keeps PyTorch's initialization. Without numbers, `uniform` draws from [-y, y) and `normal` with standard
    deviation y, where y = 1 / sqrt(fan-in). `xavier` is uniform (Glorot and Bengio 2010), `he` normal with variance
    2 / fan-in (He et al. 2015, arXiv:1502.01852).
    """
    if init.name == "default":
        return
    for layer in network.modules():
        if isinstance(layer, nn.Linear | _ConvNd):
            _set_weights(layer.weight, init)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _set_weights(weight: Tensor, init: WeightInit) -> None:
    y = weight[0].numel() ** -0.5  # the fan-in is the number of values that one output reads
    if init.name == "xavier":
        nn.init.xavier_uniform_(weight)
    elif init.name == "he":
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
    elif init.name == "uniform":
        weight.uniform_(*(init.numbers or (-y, y)))
    elif init.name == "normal":
        weight.normal_(0.0, *(init.numbers or (y,)))
    else:
        weight.fill_(init.constant)
