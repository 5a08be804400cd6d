"""Convolutional networks, built from the layer lists that `conv-shape` analyzes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.networks.choices import InvalidNetworkError, TooLargeNetworkError
from dlnotes_cli.networks.cnn_architectures import SCORE_SCALE
from dlnotes_cli.shapes.layer import RESIDUAL, Layer, format_shape
from dlnotes_cli.shapes.parsing.layer_list import parse_layers
from dlnotes_cli.shapes.tracing import trace
from dlnotes_cli.shell.errors import InputError

_LAZY_PREFIX = "Lazy"
_DEVIATION_OFFSET = 0.01  # added to standard deviations, so that directions of small variance are not scaled up
_MIN_VARIANCE = 1e-6  # relative to the largest; directions below it contain only rounding errors
_MAX_VALUES = 1 << 30  # of one output for one image
_IGNORED_ARGUMENTS = {"device", "dtype"}  # arguments of a layer that the caller of `build_cnn` decides


@dataclass(frozen=True)
class CnnConfig:
    """The configuration of a network, as model files store it."""

    layers: str
    shape: tuple[int, ...]  # (C, H, W) of an image
    classes: int

    def __post_init__(self) -> None:
        """Raise ValueError, an InvalidNetworkError where the layers do not map the image to one score per class."""
        if not all(side >= 1 for side in self.shape):
            raise ValueError("shape of an image")
        try:
            traced = trace(self.parsed_layers, self.shape)
        except InputError as error:
            raise InvalidNetworkError(error.where, error.what, error.fix) from error
        largest = max(traced, key=lambda layer: layer.values)
        if largest.values > _MAX_VALUES:
            what = f"{largest.layer.text} returns {format_shape(largest.output)} for one image, which is too large"
            raise TooLargeNetworkError("--layers", what, "use a smaller --size, or layers with smaller outputs")
        output = traced[-1].output
        if output != (self.classes,):
            what = f"the last layer returns {format_shape(output)}, and the data has {self.classes} classes"
            raise InvalidNetworkError("--layers", what, f"end with Flatten() and Linear(..., {self.classes})")

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether the network reads samples of this shape."""
        return shape == self.shape

    @cached_property
    def parsed_layers(self) -> tuple[Layer, ...]:
        """The layer list, parsed once."""
        return parse_layers(self.layers)


class ChannelsLast(nn.Sequential):
    """A sequence that converts images to the channels-last memory format, in which convolutions are faster.

    Images of one channel are in both formats, of which a convolution chooses the slower one; its output is converted.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, classes)."""
        x = x.contiguous(memory_format=torch.channels_last)
        for i, layer in enumerate(self):
            x = layer(x)
            if i == 0 and isinstance(layer, nn.Conv2d):
                x = x.contiguous(memory_format=torch.channels_last)
        return x


class Residual(nn.Sequential):
    """Layers whose input is added to their output."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        residual = x
        for layer in self:
            residual = layer(residual)
        return x + residual


def build_cnn(config: CnnConfig) -> nn.Sequential:
    """A network from images (N, C, H, W) to logits (N, classes)."""
    return ChannelsLast(*_modules(config.parsed_layers, config.shape))


def initialize_cnn(network: nn.Module) -> None:
    """He initialization of convolutions; a residual block starts as the identity.

    He et al. 2015 (arXiv:1502.01852); Goyal et al. 2017 (arXiv:1706.02677).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for block in network.modules():
        if isinstance(block, Residual) and isinstance(last := block[-1], nn.Conv2d):
            nn.init.zeros_(last.weight)


def initialize_as_identity(network: nn.Module) -> None:
    """Start as close to the identity as the layers allow (Jordan 2024, arXiv:2404.00498).

    The first filters of each convolution copy one channel each, as far as there are channels; batch norm has biases
    only; the scores are small, whatever the classes.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            with torch.no_grad():
                nn.init.dirac_(module.weight[: module.in_channels])
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.requires_grad_(False)
        elif isinstance(module, nn.Linear):
            with torch.no_grad():
                module.weight.mul_(SCORE_SCALE)


def first_convolution(network: nn.Module) -> nn.Conv2d:
    """The convolution that is applied to the image."""
    return next(module for module in network.modules() if isinstance(module, nn.Conv2d))


@torch.no_grad()
def whiten(convolution: nn.Conv2d, images: Tensor) -> None:
    """Initialize a first convolution with the principal directions of its input patches, at unit variance.

    Half of the filters are the directions, the other half their negatives (Page 2018; Jordan 2024, arXiv:2404.00498).
    There are at most as many directions as values in a patch, and none for all-black images; the remaining filters keep
    their weights. `images` are (N, C, H, W), normalized as in training.
    """
    size = (convolution.kernel_size[0], convolution.kernel_size[1])
    stride = (convolution.stride[0], convolution.stride[1])
    patches = F.unfold(images, size, stride=stride).transpose(1, 2).flatten(0, 1).double()
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    rank = int((variances > _MIN_VARIANCE * variances[-1].clamp(min=0)).sum())
    count = min(convolution.out_channels // 2, rank)
    principal = slice(len(variances) - count, None)  # eigh sorts in ascending order
    filters = (directions[:, principal] / (variances[principal].sqrt() + _DEVIATION_OFFSET)).T
    filters = filters.reshape(count, *convolution.weight.shape[1:])
    convolution.weight[: 2 * count] = torch.cat([filters, -filters]).float()


def _modules(layers: Sequence[Layer], shape: tuple[int, ...]) -> Iterator[nn.Module]:
    for layer in layers:
        yield _module(layer, shape)
        shape = trace([layer], shape)[-1].output


def _module(layer: Layer, shape: tuple[int, ...]) -> nn.Module:
    """The module of one layer; a lazy one is built with the size that it would infer from the input `shape`."""
    if layer.name == RESIDUAL:
        return Residual(*_modules(layer.positional, shape))
    keywords: dict[str, Any] = {name: value for name, value in layer.keywords if name not in _IGNORED_ARGUMENTS}
    name, positional = layer.name, layer.positional
    if name.startswith(_LAZY_PREFIX):
        name = name.removeprefix(_LAZY_PREFIX)
        positional = (shape[-1] if name == "Linear" else shape[0], *positional)
    module: nn.Module = getattr(nn, name)(*positional, **keywords)
    return module
