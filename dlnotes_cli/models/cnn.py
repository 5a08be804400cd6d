"""Convolutional networks, built from the layer lists that `conv-shape` reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.models.dropout import Dropout
from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.parser import parse_layers
from dlnotes_cli.shapes.stack import trace
from dlnotes_cli.shell.errors import InputError

_LAZY = "Lazy"
_LEAST_DEVIATION = 0.01  # of a direction that hardly varies
_LEAST_SHARE = 1e-6  # of the largest variance: below it there is nothing but rounding
_ABSTRACT = {"device", "dtype"}  # arguments of a layer that `build_cnn` leaves to the caller


@dataclass(frozen=True)
class CnnConfig:
    """All that it takes to build the network again."""

    layers: str
    shape: tuple[int, ...]  # (C, H, W) of an image
    classes: int

    def __post_init__(self) -> None:
        """Raise ValueError where the layers do not lead from the image to one score for each class."""
        try:
            output = trace(parse_layers(self.layers), self.shape)[-1].output
        except InputError as error:
            raise ValueError(str(error)) from error
        if output != (self.classes,):
            raise ValueError(f"{'x'.join(map(str, output))} comes out, {self.classes} class scores are needed")


class ChannelsLast(nn.Sequential):
    """A sequence that lays images out with the channels last, which makes convolutions faster on CPU and CUDA."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, classes)."""
        x = x.contiguous(memory_format=torch.channels_last)
        for layer in self:
            x = layer(x)
        return x


class Residual(nn.Sequential):
    """Layers whose input is added to their output."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        change = x
        for layer in self:
            change = layer(change)
        return x + change


def build_cnn(config: CnnConfig) -> nn.Sequential:
    """A network from images (N, C, H, W) to logits (N, classes)."""
    return ChannelsLast(*_modules(parse_layers(config.layers), config.shape))


def initialize(network: nn.Module) -> None:
    """He initialization of convolutions; a residual block starts as the identity (He 2015; Goyal 2017)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for block in network.modules():
        if isinstance(block, Residual) and isinstance(last := block[-1], nn.Conv2d):
            nn.init.zeros_(last.weight)


def first_convolution(network: nn.Module) -> nn.Conv2d:
    """The convolution that sees the image."""
    return next(module for module in network.modules() if isinstance(module, nn.Conv2d))


@torch.no_grad()
def whiten(convolution: nn.Conv2d, images: Tensor) -> None:
    """Start a first convolution with the main directions of the patches it sees, at unit variance, and their negatives.

    After Page 2018 and Jordan 2024 (arXiv:2404.00498). Filters beyond twice the directions in which patches vary
    stay as they are: those are no more than the numbers of a patch, and none where all images are black.
    `images` are (N, C, H, W), scaled as in training.
    """
    size = (convolution.kernel_size[0], convolution.kernel_size[1])
    stride = (convolution.stride[0], convolution.stride[1])
    patches = F.unfold(images, size, stride=stride).transpose(1, 2).flatten(0, 1).double()
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    varying = int((variances > _LEAST_SHARE * variances[-1].clamp(min=0)).sum())
    count = min(convolution.out_channels // 2, varying)
    main = slice(len(variances) - count, None)  # they come in rising order
    filters = (directions[:, main] / (variances[main].sqrt() + _LEAST_DEVIATION)).T
    filters = filters.reshape(count, *convolution.weight.shape[1:])
    convolution.weight[: 2 * count] = torch.cat([filters, -filters]).float()


def _modules(layers: Sequence[Layer], shape: tuple[int, ...]) -> Iterator[nn.Module]:
    for layer in layers:
        yield _module(layer, shape)
        shape = trace([layer], shape)[-1].output


def _module(layer: Layer, shape: tuple[int, ...]) -> nn.Module:
    if layer.name == "Residual":
        return Residual(*_modules(layer.positional, shape))
    named: dict[str, Any] = {name: value for name, value in layer.keywords if name not in _ABSTRACT}
    positional = layer.positional
    name = layer.name
    if name.startswith(_LAZY):
        name = name.removeprefix(_LAZY)
        positional = (shape[-1] if name == "Linear" else shape[0], *positional)
    kind = Dropout if name == "Dropout" else getattr(nn, name)
    module: nn.Module = kind(*positional, **named)
    return module
