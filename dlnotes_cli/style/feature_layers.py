"""Layers of the feature networks: their names, defaults, and networks cut after the last layer that is needed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dlnotes_cli.style.recipes import Pooling

Padding = Literal["zeros", "replicate", "reflect"]


@dataclass(frozen=True)
class LossLayers:
    """The layer whose features represent the content, and those whose Gram matrices represent the style."""

    content: str
    style: Mapping[str, float]  # with their weights


_VGG = LossLayers(  # as in the course's notebook
    "conv4_2", {"conv1_1": 1.0, "conv2_1": 0.75, "conv3_1": 0.2, "conv4_1": 0.2, "conv5_1": 0.2}
)
_SQUEEZENET = LossLayers("fire5", {"conv1": 1.0, "fire2": 1.0, "fire3": 1.0, "fire5": 1.0, "fire8": 1.0})
_SMALL = LossLayers(
    "relu2_2", {"conv1_1": 2.0, "relu2_1": 1.0, "relu2_2": 1.0, "relu3_1": 1.0, "relu3_2": 1.0, "relu4_2": 2.0}
)
DEFAULT_LAYERS: dict[str, LossLayers] = {
    "small": _SMALL,
    "vgg16": _VGG,
    "vgg19": _VGG,
    "squeezenet1_0": _SQUEEZENET,
    "squeezenet1_1": _SQUEEZENET,
}

MIN_SIDE = {  # smallest shorter side of an image, in pixels, that leaves features in the deepest default layer
    "small": 16, "vgg16": 16, "vgg19": 16, "squeezenet1_0": 32, "squeezenet1_1": 32,
}  # fmt: skip


class InputWindow(NamedTuple):
    """What a feature depends on: position p reads the pixels p x `jump` + `low` to p x `jump` + `high`."""

    jump: int
    low: int
    high: int


class TruncatedNetwork(nn.Module):
    """The layers of a network up to the last requested one; `forward` returns the requested features by layer.

    `convB_I` is the output of convolution I of block B before its ReLU, `reluB_I` the output of that ReLU, `fireN` the
    output of a whole Fire module. No ReLU works in place, so no features are overwritten.
    """

    def __init__(self, features: nn.Sequential, requested: set[str], *, pooling: Pooling, padding: Padding) -> None:
        super().__init__()
        layers = list(named_layers(_with_fused_batch_norm(features)))
        last = max(i for i, (name, _) in enumerate(layers) if name in requested)
        self._names = [name for name, _ in layers[: last + 1]]
        self._requested = requested
        self.layers = nn.ModuleList(_adapted(layer, pooling, padding) for _, layer in layers[: last + 1])
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features (1, C, H, W) by layer of a normalized image (1, 3, H, W)."""
        features: dict[str, Tensor] = {}
        x = x.contiguous(memory_format=torch.channels_last)
        for name, layer in zip(self._names, self.layers, strict=True):
            x = layer(x)
            if name in self._requested:
                features[name] = x
        return features

    def windows(self) -> dict[str, InputWindow]:
        """The pixels that a feature of each requested layer depends on, in both directions."""
        windows: dict[str, InputWindow] = {}
        window = InputWindow(1, 0, 0)
        for name, layer in zip(self._names, self.layers, strict=True):
            for kernel in _kernels(layer):
                low = window.low - kernel.padding * window.jump
                high = window.high + (kernel.size - 1 - kernel.padding) * window.jump
                window = InputWindow(window.jump * kernel.stride, low, high)
            if name in self._requested:
                windows[name] = window
        return windows

    def feature_sizes(self, height: int, width: int) -> dict[str, tuple[int, int]]:
        """(H, W) of each requested layer's features, for an image of (height, width)."""
        sizes: dict[str, tuple[int, int]] = {}
        for name, layer in zip(self._names, self.layers, strict=True):
            for kernel in _kernels(layer):
                height, width = kernel.result_length(height), kernel.result_length(width)
            if name in self._requested:
                sizes[name] = height, width
        return sizes


def named_layers(features: nn.Sequential) -> Iterator[tuple[str, nn.Module]]:
    """Layers up to the first that is not convolutional, named as by Simonyan and Zisserman (2015).

    Pooling and batch normalization have an empty name.
    """
    block, convolution, fire = 1, 0, 1
    is_fire = any(type(layer).__name__ == "Fire" for layer in features)
    for layer in features:
        if type(layer).__name__ == "Fire":
            fire += 1
            yield f"fire{fire}", layer
        elif isinstance(layer, nn.Conv2d):
            convolution += 1
            yield "conv1" if is_fire else f"conv{block}_{convolution}", layer
        elif isinstance(layer, nn.ReLU):
            yield "relu1" if is_fire else f"relu{block}_{convolution}", layer
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            block, convolution = block + 1, 0
            yield "", layer
        elif isinstance(layer, nn.BatchNorm2d):
            yield "", layer
        else:
            return


class _Kernel(NamedTuple):
    """A convolution or pooling in one direction."""

    size: int
    stride: int
    padding: int
    rounds_up: bool

    def result_length(self, length: int) -> int:
        """Positions for `length` input values."""
        room = length + 2 * self.padding - self.size
        count = (-(-room // self.stride) if self.rounds_up else room // self.stride) + 1
        starts_outside = self.rounds_up and (count - 1) * self.stride >= length + self.padding
        return count - 1 if starts_outside else count


def _kernels(layer: nn.Module) -> Iterator[_Kernel]:
    """The kernels of a layer that apply in turn; a Fire module's parallel 1x1 convolution changes nothing."""
    for module in layer.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            size, stride, padding = (
                value if isinstance(value, int) else int(value[0])
                for value in (module.kernel_size, module.stride, module.padding)
            )
            yield _Kernel(size, stride, padding, bool(getattr(module, "ceil_mode", False)))


def _with_fused_batch_norm(features: nn.Sequential) -> nn.Sequential:
    """The same function with each batch normalization merged into the convolution before it."""
    layers: list[nn.Module] = []
    for layer in features.eval():
        if isinstance(layer, nn.BatchNorm2d) and layers and isinstance(layers[-1], nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def _adapted(layer: nn.Module, pooling: Pooling, padding: Padding) -> nn.Module:
    """The layer with no ReLU in place, this padding, and this pooling."""
    for module in layer.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, nn.Conv2d):
            module.padding_mode = padding
    if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
        pool = nn.AvgPool2d if pooling == "avg" else nn.MaxPool2d
        return pool(layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode)
    return layer
