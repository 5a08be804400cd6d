"""Initial weights of linear and convolutional layers."""

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from dlnotes_cli.networks.choices import WeightInit


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
