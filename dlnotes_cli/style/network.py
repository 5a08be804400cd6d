"""The feature network of `style-transfer`: its named layers, cut after the last one that a loss needs, and weights."""

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from dlnotes_cli.device import Runtime
from dlnotes_cli.inference.inspected_network import on_meta
from dlnotes_cli.networks.backbones import BackboneConfig, TransferModel, build_backbone, load_backbone
from dlnotes_cli.networks.module_trace import trace_module
from dlnotes_cli.networks.torch_imports import meta_device
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.style.options import Pooling, StyleTransferConfig
from dlnotes_cli.training.pretrained import find_weights

Features = Mapping[str, Tensor]  # by layer, each (1, C, H, W)
Padding = Literal["zeros", "replicate", "reflect"]
_TRACED_SIDE = 64  # pixels of the image with which windows are found


@dataclass(frozen=True)
class LossLayers:
    """The layer whose features represent the content, and those whose Gram matrices represent the style."""

    content: str
    style: Mapping[str, float]  # with their weights
    min_side: int = 16  # pixels of an image's shorter side that leave features in the deepest default layer


_VGG = LossLayers(  # as in the course's notebook
    "conv4_2", {"conv1_1": 1.0, "conv2_1": 0.75, "conv3_1": 0.2, "conv4_1": 0.2, "conv5_1": 0.2}
)
_SQUEEZENET = LossLayers("fire5", {"conv1": 1.0, "fire2": 1.0, "fire3": 1.0, "fire5": 1.0, "fire8": 1.0}, min_side=32)
_SMALL = LossLayers(
    "relu2_2", {"conv1_1": 2.0, "relu2_1": 1.0, "relu2_2": 1.0, "relu3_1": 1.0, "relu3_2": 1.0, "relu4_2": 2.0}
)
DEFAULT_LAYERS = {
    "small": _SMALL, "vgg16": _VGG, "vgg19": _VGG, "squeezenet1_0": _SQUEEZENET, "squeezenet1_1": _SQUEEZENET,
}  # fmt: skip


class InputWindow(NamedTuple):
    """What a feature depends on: position p reads the pixels p x `jump` + `low` to p x `jump` + `high`."""

    jump: int
    low: int
    high: int


class TruncatedNetwork(nn.Module):
    """The layers of a network up to the last requested one; `forward` returns the requested features by layer.

    No ReLU works in place, so no features are overwritten.
    """

    def __init__(
        self, features: nn.Sequential, requested: Collection[str], *, pooling: Pooling, padding: Padding
    ) -> None:
        super().__init__()
        layers = named_layers(features)
        names = list(layers)
        names = names[: 1 + max(map(names.index, requested))]
        self._requested = requested
        self.layers = nn.ModuleDict({name: _adapted(layers[name], pooling, padding) for name in names})
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features (1, C, H, W) by layer of a normalized image (1, 3, H, W)."""
        features: dict[str, Tensor] = {}
        x = x.contiguous(memory_format=torch.channels_last)
        for name, layer in self.layers.items():
            x = layer(x)
            if name in self._requested:
                features[name] = x
        return features

    def shapes(self, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """(1, C, H, W) of each requested layer's features, for an image of (height, width)."""
        features = self.on_meta(torch.empty(1, 3, height, width, device="meta"))
        return {name: tuple(values.shape) for name, values in features.items()}

    @cached_property
    def windows(self) -> dict[str, InputWindow]:
        """The pixels that a feature of each requested layer depends on, in both directions."""
        plain = copy.deepcopy(self).to("meta", torch.float32)
        for (
            module
        ) in plain.modules():  # with zeros at the borders, and without positions beyond them, windows are equal
            if isinstance(module, nn.Conv2d):
                module.padding_mode = "zeros"
            if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
                module.ceil_mode = False
        fields = trace_module(plain, [(3, _TRACED_SIDE, _TRACED_SIDE)]).fields
        axes = {name: (fields[plain.layers[name]].axes or ())[0] for name in self._requested}
        return {name: InputWindow(int(axis.jump), *axis.at(0)) for name, axis in axes.items()}

    def on_meta(self, x: Tensor) -> dict[str, Tensor]:
        """What `forward` returns, of a tensor on the meta device and without values."""
        features: dict[str, Tensor] = on_meta(self)(x.to(next(self.parameters()).dtype))
        return features


def named_layers(features: nn.Sequential) -> dict[str, nn.Module]:
    """Layers up to the first that is not convolutional, named as by Simonyan and Zisserman (2015).

    `convB_I` is the output of convolution I of block B before its ReLU, `reluB_I` the output of that ReLU, `fireN` the
    output of a whole Fire module, and `poolB` ends a block.
    """
    layers: dict[str, nn.Module] = {}
    block, convolution, fire = 1, 0, 1
    is_fire = any(type(layer).__name__ == "Fire" for layer in features)
    for layer in features:
        if type(layer).__name__ == "Fire":
            fire += 1
            layers[f"fire{fire}"] = layer
        elif isinstance(layer, nn.Conv2d):
            convolution += 1
            layers["conv1" if is_fire else f"conv{block}_{convolution}"] = layer
        elif isinstance(layer, nn.ReLU):
            layers["relu1" if is_fire else f"relu{block}_{convolution}"] = layer
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            layers[f"pool{block}"] = layer
            block, convolution = block + 1, 0
        else:
            break
    return layers


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


@dataclass(frozen=True)
class FeatureNetwork:
    """A network on its device, with the layers that represent content and style, and the colors that it expects."""

    truncated: TruncatedNetwork
    runtime: Runtime
    layers: LossLayers
    weights: str  # name or path
    mean: Tensor  # (1, 3, 1, 1), as `std`
    std: Tensor

    def __call__(self, normalized: Tensor) -> Features:
        """Features by layer of a normalized image (1, 3, H, W), in float32."""
        return {name: values.float() for name, values in self.truncated(normalized.to(self.dtype)).items()}

    @property
    def dtype(self) -> torch.dtype:
        """Of the network's weights; they are converted once, not by autocast at every evaluation."""
        return self.runtime.half or torch.float32

    def normalized(self, pixels: Tensor) -> Tensor:
        """Pixels in 0..1 as the network expects them, on its device."""
        return (pixels.to(self.runtime.device) - self.mean) / self.std

    def pixels(self, normalized: Tensor) -> Tensor:
        """Pixels, clamped to 0..1."""
        return (normalized * self.std + self.mean).clamp(0, 1)

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Normalized black and white."""
        return -self.mean / self.std, (1 - self.mean) / self.std


def load_feature_network(config: StyleTransferConfig, pooling: Pooling, runtime: Runtime) -> FeatureNetwork:
    """Build the network of `--backbone` and load its weights.

    Raises InputError for unknown layers, and for weights that are unavailable or do not match the network.
    """
    layers = chosen_layers(config)
    weights = find_weights(config.backbone, config.weights, offline=config.offline, seed=config.seed)
    tensors = weights.read()
    if tensors is None:
        output.warn(f"--weights none: {config.backbone} has random weights, which capture texture but no objects")
        seed_everything(config.seed)
        network = build_backbone(BackboneConfig(config.backbone, 1, 224))
    else:
        network = _empty_network(config.backbone)
        load_backbone(network, config.backbone, tensors, weights.name)
    padding: Padding = "reflect" if config.backbone == "small" else "replicate"
    if config.recipe == "notes":
        padding = "zeros"  # as in the notebook; they darken the border
    requested = {layers.content, *layers.style}
    truncated = TruncatedNetwork(_convolutions(network), requested, pooling=pooling, padding=padding)
    truncated = truncated.to(runtime.device, runtime.half or torch.float32)
    truncated.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
    mean, std = (
        torch.tensor(values, device=runtime.device).view(1, 3, 1, 1)
        for values in (weights.expected.mean, weights.expected.std)
    )
    return FeatureNetwork(truncated, runtime, layers, weights.name, mean, std)


@dataclass(frozen=True)
class LayerList:
    """The names of a network's layers from first to last."""

    backbone: str
    layers: tuple[str, ...]

    def table(self) -> tuple[str, ...]:
        """A line for each layer."""
        return self.layers


def list_layers(config: StyleTransferConfig) -> LayerList:
    """List the layers of `config.backbone`; no weights are loaded or downloaded."""
    layers = named_layers(_convolutions(_empty_network(config.backbone)))
    return LayerList(config.backbone, tuple(name for name in layers if not name.startswith("pool")))


def _empty_network(backbone: str) -> TransferModel:
    """A network without values; its convolutional layers read images of any size."""
    with meta_device():
        return build_backbone(BackboneConfig(backbone, 1, 224))


def _convolutions(network: TransferModel) -> nn.Sequential:
    """The convolutional layers; the backbone of `small` consists of them."""
    layers = network.backbone
    features = layers if isinstance(layers, nn.Sequential) else layers.features
    if not isinstance(features, nn.Sequential):
        raise TypeError(type(features).__name__)
    return features


def chosen_layers(config: StyleTransferConfig) -> LossLayers:
    """The layers of `--content-layer` and `--style-layers`, or the network's defaults, without those of weight 0.

    Raises InputError for a layer that the network of `--backbone` does not have.
    """
    default = DEFAULT_LAYERS[config.backbone]
    if not config.content_layer and not config.style_layers:
        return default
    style = dict(map(_weighted_layer, config.style_layers)) or dict(default.style)
    if config.style_layers and len(style) < len(config.style_layers):
        raise InputError("--style-layers", "contains a layer twice", "list each once")
    content = config.content_layer or default.content
    known = list_layers(config).layers
    for option, name in (("--content-layer", content), *(("--style-layers", name) for name in style)):
        if name not in known:
            raise unknown_choice(option, name, known, kind="layer")
    if not any(style.values()):
        raise InputError("--style-layers", "every weight is 0", "set one above 0")
    return replace(default, content=content, style={name: weight for name, weight in style.items() if weight})


def _weighted_layer(text: str) -> tuple[str, float]:
    """The layer and weight of LAYER:WEIGHT; the weight may be omitted."""
    name, _, weight = text.partition(":")
    try:
        value = float(weight or 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        what = f"'{weight}' is not a valid weight of {name}"
        raise InputError("--style-layers", what, "write for example conv1_1:1.0")
    return name, value
