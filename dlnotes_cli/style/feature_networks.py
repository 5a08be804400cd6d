"""Feature networks for style transfer: layers by name, run no further than the last that is needed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Pooling = Literal["avg", "max"]
Padding = Literal["zeros", "replicate", "reflect"]

SMALL_FILE = Path(__file__).parent.parent / "weights" / "small.safetensors"

SMALL_LAYERS = """
Conv2d(3, 32, 3, padding=1, bias=False); BatchNorm2d(32); ReLU(); MaxPool2d(2)
Conv2d(32, 64, 3, padding=1, bias=False); BatchNorm2d(64); ReLU()
Conv2d(64, 64, 3, padding=1, bias=False); BatchNorm2d(64); ReLU(); MaxPool2d(2)
Conv2d(64, 128, 3, padding=1, bias=False); BatchNorm2d(128); ReLU()
Conv2d(128, 128, 3, padding=1, bias=False); BatchNorm2d(128); ReLU()
AdaptiveMaxPool2d(1); Flatten(); Linear(128, 10)
"""


@dataclass(frozen=True)
class Layers:
    """Which layers of a network give content and style where nothing else is asked for."""

    content: str
    style: Mapping[str, float]


COURSE = Layers("conv4_2", {"conv1_1": 1.0, "conv2_1": 0.75, "conv3_1": 0.2, "conv4_1": 0.2, "conv5_1": 0.2})
DEFAULTS: dict[str, Layers] = {
    "small": Layers("relu3_1", {"relu1_1": 1.0, "relu2_1": 1.0, "relu2_2": 1.0, "relu3_1": 1.0, "relu3_2": 1.0}),
    "vgg16": COURSE,
    "vgg19": COURSE,
    "squeezenet1_0": Layers("fire5", {"conv1": 1.0, "fire2": 1.0, "fire3": 1.0, "fire5": 1.0, "fire8": 1.0}),
    "squeezenet1_1": Layers("fire5", {"conv1": 1.0, "fire2": 1.0, "fire3": 1.0, "fire5": 1.0, "fire8": 1.0}),
}


# Pixels of the shorter side that each network still sees something in.
SHORTEST = {"small": 16, "vgg16": 16, "vgg19": 16, "squeezenet1_0": 32, "squeezenet1_1": 32}


class StyleNet(nn.Module):
    """A network's first layers; `forward` gives those that were asked for.

    `convB_I` is what convolution I of block B gives, before its ReLU, and `reluB_I` what follows it; `fireN` is a whole
    Fire module. No layer is overwritten by the ReLU behind it.
    """

    def __init__(self, features: nn.Sequential, wanted: set[str], *, pooling: Pooling, padding: Padding) -> None:
        super().__init__()
        layers = list(named_layers(_fused(features)))
        last = max(i for i, (name, _) in enumerate(layers) if name in wanted)
        self._names = [name for name, _ in layers[: last + 1]]
        self._wanted = wanted
        self.layers = nn.ModuleList(_adapted(layer, pooling, padding) for _, layer in layers[: last + 1])
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features (1, C, H, W) by name, of a scaled image (1, 3, H, W)."""
        found: dict[str, Tensor] = {}
        x = x.contiguous(memory_format=torch.channels_last)
        for name, layer in zip(self._names, self.layers, strict=True):
            x = layer(x)
            if name in self._wanted:
                found[name] = x
        return found


def named_layers(features: nn.Sequential) -> Iterator[tuple[str, nn.Module]]:
    """The layers of a sequence with the names of Simonyan and Zisserman; layers without one have an empty name."""
    block, place, fire = 1, 0, 1
    is_fire = any(type(layer).__name__ == "Fire" for layer in features)
    for layer in features:
        if type(layer).__name__ == "Fire":
            fire += 1
            yield f"fire{fire}", layer
        elif isinstance(layer, nn.Conv2d):
            place += 1
            yield "conv1" if is_fire else f"conv{block}_{place}", layer
        elif isinstance(layer, nn.ReLU):
            yield "relu1" if is_fire else f"relu{block}_{place}", layer
        elif isinstance(layer, nn.MaxPool2d):
            block, place = block + 1, 0
            yield "", layer
        elif isinstance(layer, nn.BatchNorm2d):
            yield "", layer
        else:
            return


def _fused(features: nn.Sequential) -> nn.Sequential:
    """The same function with each batch norm in the convolution before it."""
    layers: list[nn.Module] = []
    for layer in features.eval():
        if isinstance(layer, nn.BatchNorm2d) and layers and isinstance(layers[-1], nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def _adapted(layer: nn.Module, pooling: Pooling, padding: Padding) -> nn.Module:
    for module in layer.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, nn.Conv2d):
            module.padding_mode = padding
    if isinstance(layer, nn.MaxPool2d) and pooling == "avg":
        return nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode)
    return layer
