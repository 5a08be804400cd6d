"""The named layers of a network, in the order of its forward pass, with the shapes of their outputs."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor, nn
from torch.func import functional_call

_CNN_NAMES = {  # of the layers of a layer list, each followed by its number
    "Conv2d": "conv", "ConvTranspose2d": "deconv", "BatchNorm2d": "norm", "GroupNorm": "norm", "MaxPool2d": "pool",
    "AvgPool2d": "pool", "AdaptiveAvgPool2d": "pool", "AdaptiveMaxPool2d": "pool",
}  # fmt: skip
_PROBE = 2  # samples, so that an output without a batch dimension is recognized
_IMAGE_DIMENSIONS = 3
_WITHOUT_EFFECT = (nn.Dropout, nn.Dropout2d, nn.Identity)  # in evaluation mode


@dataclass(frozen=True)
class NamedLayer:
    """A layer that runs once in a forward pass and returns one tensor."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]  # of its output for one sample

    @property
    def kind(self) -> str:
        """The type of its module, Conv2d for example."""
        return type(self.module).__name__

    @property
    def is_spatial(self) -> bool:
        """Whether the output is maps (C, H, W) of more than one position."""
        return len(self.shape) == _IMAGE_DIMENSIONS and prod(self.shape[1:]) > 1

    @property
    def units(self) -> int:
        """Number of channels, or of values of an output without positions."""
        return self.shape[0] if self.shape else 1

    @property
    def parameters(self) -> int:
        """Number of parameters, those of layers inside it included."""
        return sum(parameter.numel() for parameter in self.module.parameters())


@dataclass(frozen=True)
class LayerTable:
    """The layers in the order in which they end; `aliases` are names of containers that return a layer's output."""

    layers: tuple[NamedLayer, ...]
    aliases: dict[str, str]


def tabulate_layers(network: nn.Module, names: dict[nn.Module, str], shape: tuple[int, ...]) -> LayerTable:
    """The layers of a network, in evaluation mode, for samples of `shape`; nothing is computed with values.

    Left out are layers without effect, those that run more than once, as they have no single output, and those that do
    not return one tensor with a row for each sample.
    """
    ended: list[tuple[nn.Module, object]] = []
    handles = [module.register_forward_hook(partial(_note, ended)) for module in names]
    try:
        _run_on_meta(network, shape)
    finally:
        for handle in handles:
            handle.remove()
    return _table(ended, names)


def accepts(network: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether a network reads samples of a shape; nothing is computed with values."""
    try:
        _run_on_meta(network, shape)
    except (RuntimeError, ValueError, AssertionError, ZeroDivisionError):
        return False
    return True


def numbered_names(network: nn.Module) -> dict[nn.Module, str]:
    """Names for the layers of a layer list by type and number: conv1, norm1, relu1, pool1, conv2 and so on."""
    names: dict[nn.Module, str] = {}
    counts: Counter[str] = Counter()
    for module in network.modules():
        if module is not network and type(module) is not nn.Sequential:
            kind = type(module).__name__
            name = _CNN_NAMES.get(kind, kind.lower())
            counts[name] += 1
            names[module] = f"{name}{counts[name]}"
    return names


def path_names(network: nn.Module, prefix: str = "") -> dict[nn.Module, str]:
    """Names for the layers of a network by their paths in it, without `prefix`."""
    around = {"", prefix.removesuffix(".")}  # the network and what holds the layers
    return {module: name.removeprefix(prefix) for name, module in network.named_modules() if name not in around}


@torch.no_grad()
def _run_on_meta(network: nn.Module, shape: tuple[int, ...]) -> None:
    """Run a network with shapes and no values. Raises whatever the network raises for this shape."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    on_meta = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    functional_call(network, on_meta, (torch.empty(_PROBE, *shape, device="meta"),))


def _note(ended: list[tuple[nn.Module, object]], module: nn.Module, _inputs: object, outputs: object) -> None:
    ended.append((module, outputs))


def _table(ended: list[tuple[nn.Module, object]], names: dict[nn.Module, str]) -> LayerTable:
    runs = Counter(module for module, _ in ended)
    layers: list[NamedLayer] = []
    aliases: dict[str, str] = {}
    last: object = None
    for module, outputs in ended:
        if runs[module] > 1 or not isinstance(outputs, Tensor) or isinstance(module, _WITHOUT_EFFECT):
            continue
        if outputs is last:  # a container, which returns what its last layer does
            aliases[names[module]] = layers[-1].name
        elif outputs.shape[:1] == (_PROBE,):
            layers.append(NamedLayer(names[module], module, tuple(outputs.shape[1:])))
            last = outputs
    return LayerTable(tuple(layers), aliases)
