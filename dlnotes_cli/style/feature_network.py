"""Load the feature network of `style-transfer`, with its weights, preprocessing and chosen layers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlnotes_cli.device import Runtime
from dlnotes_cli.networks.backbones import BackboneConfig, TransferModel, build_backbone, load_backbone
from dlnotes_cli.networks.torch_imports import meta_device
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.style.feature_layers import (
    DEFAULT_LAYERS,
    MIN_SIDE,
    LossLayers,
    Padding,
    TruncatedNetwork,
    named_layers,
)
from dlnotes_cli.style.losses import Features
from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.style.recipes import Pooling
from dlnotes_cli.training.pretrained import PretrainedWeights, find_weights


@dataclass(frozen=True)
class ChannelNormalization:
    """Mean and standard deviation of the color channels that a network expects; float32 (1, 3, 1, 1)."""

    mean: Tensor
    std: Tensor

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalize pixels in 0..1."""
        return (pixels - self.mean) / self.std

    def inverse(self, normalized: Tensor) -> Tensor:
        """Pixels, clamped to 0..1."""
        return (normalized * self.std + self.mean).clamp(0, 1)

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Normalized black and white."""
        return -self.mean / self.std, (1 - self.mean) / self.std


@dataclass(frozen=True)
class FeatureNetwork:
    """A network on its device, with the layers that represent content and style."""

    truncated: TruncatedNetwork
    runtime: Runtime
    normalization: ChannelNormalization
    layers: LossLayers
    weights: str  # name or path
    min_side: int  # of an image, in pixels

    def __call__(self, normalized: Tensor) -> Features:
        """Features by layer of a normalized image (1, 3, H, W)."""
        features: Features = self.truncated(normalized.to(self.dtype))
        return features

    @property
    def dtype(self) -> torch.dtype:
        """Of the network's weights; they are converted once, not by autocast at every evaluation."""
        return torch.bfloat16 if self.runtime.precision == "bf16" else torch.float32


def load_feature_network(config: StyleTransferConfig, pooling: Pooling, runtime: Runtime) -> FeatureNetwork:
    """Build the network of `--backbone` and load its weights.

    Raises InputError for unknown layers, and for weights that are unavailable or do not match the network.
    """
    layers = _chosen_layers(config, list_layers(config).layers)
    weights = find_weights(config.backbone, config.weights, offline=config.offline, seed=config.seed)
    truncated = TruncatedNetwork(
        _load_features(config, weights), {layers.content, *layers.style}, pooling=pooling, padding=_padding(config)
    )
    mean, std = (
        torch.tensor(values, device=runtime.device).view(1, 3, 1, 1)
        for values in (weights.expected.mean, weights.expected.std)
    )
    truncated = truncated.to(runtime.device)
    truncated.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
    network = FeatureNetwork(
        truncated, runtime, ChannelNormalization(mean, std), layers, weights.name, MIN_SIDE[config.backbone]
    )
    truncated.to(network.dtype)
    return network


def check_layers(config: StyleTransferConfig) -> None:
    """Raise InputError for a layer that the network of `--backbone` does not have."""
    if config.content_layer or config.style_layers:
        _chosen_layers(config, list_layers(config).layers)


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
    features = _convolutions(_build_network(config.backbone))
    return LayerList(config.backbone, tuple(name for name, _ in named_layers(features) if name))


def _padding(config: StyleTransferConfig) -> Padding:
    """How convolutions pad: the zeros of the notebook darken the border."""
    if config.recipe == "notes":
        return "zeros"
    return "reflect" if config.backbone == "small" else "replicate"


def _load_features(config: StyleTransferConfig, weights: PretrainedWeights) -> nn.Sequential:
    """The convolutional layers with their weights. Raises InputError if they do not fit the network."""
    network = _build_network(config.backbone)
    tensors = weights.read()
    if tensors is None:
        output.warn(f"--weights none: {config.backbone} has random weights, which capture texture but no objects")
        features = _convolutions(network).to_empty(device="cpu")
        _initialize(features, config.seed)
        return features
    mismatch = load_backbone(network, config.backbone, tensors)
    if mismatch:
        raise InputError(weights.name, mismatch, f"use weights of {config.backbone}, or another --backbone")
    return _convolutions(network)


def _build_network(backbone: str) -> TransferModel:
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


def _initialize(features: nn.Sequential, seed: int) -> None:
    """He initialization, as in torchvision's networks."""
    seed_everything(seed)
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _chosen_layers(config: StyleTransferConfig, known: Sequence[str]) -> LossLayers:
    """The layers of `--content-layer` and `--style-layers`, or the network's defaults, without those of weight 0."""
    default = DEFAULT_LAYERS[config.backbone]
    style = dict(default.style)
    if config.style_layers:
        weighted = [_weighted_layer(text) for text in config.style_layers]
        style = dict(weighted)
        if len(style) < len(weighted):
            raise InputError("--style-layers", "contains a layer twice", "list each once")
    content = config.content_layer or default.content
    for option, name in (("--content-layer", content), *(("--style-layers", name) for name in style)):
        if name not in known:
            raise unknown_choice(option, name, known, kind="layer")
    if not any(style.values()):
        raise InputError("--style-layers", "every weight is 0", "set one above 0")
    return LossLayers(content, {name: weight for name, weight in style.items() if weight})


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
