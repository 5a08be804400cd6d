"""The network that looks at images for `style-transfer`: from its name and weights to features by layer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlnotes_cli.data.preprocessing import ImagePreprocessing, preprocessing_from_json
from dlnotes_cli.device import Runtime
from dlnotes_cli.models.backbones import BackboneConfig, build_backbone, load_backbone
from dlnotes_cli.models.registry import build_from_json
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.style.feature_networks import DEFAULTS, SHORTEST, SMALL_FILE, Padding, StyleNet, named_layers
from dlnotes_cli.style.losses import Features
from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.training.checkpoint import load_weights, read_tensors
from dlnotes_cli.training.pretrained import find_weights


@dataclass(frozen=True)
class Scale:
    """How pixels in 0..1 are scaled for a network; float32 (1, 3, 1, 1)."""

    mean: Tensor
    std: Tensor

    def __call__(self, pixels: Tensor) -> Tensor:
        """Scaled pixels."""
        return (pixels - self.mean) / self.std

    def back(self, scaled: Tensor) -> Tensor:
        """Pixels in 0..1."""
        return (scaled * self.std + self.mean).clamp(0, 1)

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Black and white, scaled."""
        return -self.mean / self.std, (1 - self.mean) / self.std


@dataclass(frozen=True)
class Viewer:
    """A feature network on its machine, with the layers that were chosen."""

    network: StyleNet
    runtime: Runtime
    scale: Scale
    content: str
    styles: dict[str, float]
    weights: str  # what it was filled with
    shortest: int  # pixels of a side that it still sees something in

    def __call__(self, scaled: Tensor) -> Features:
        """Features by layer of scaled pixels (1, 3, H, W)."""
        found: Features = self.network(scaled.to(self.dtype))
        return found

    @property
    def dtype(self) -> torch.dtype:
        """In which the network works: its weights are brought to it once, not at every look."""
        return torch.bfloat16 if self.runtime.precision == "bf16" else torch.float32


def load_viewer(config: StyleTransferConfig, runtime: Runtime) -> Viewer:
    """Build the network and fill it. Raises InputError for a layer that is not there and weights that do not fit."""
    content, styles = _chosen_layers(config, layer_names(config))
    features, mean, std, weights = _small(config) if config.backbone == "small" else _of_torchvision(config)
    pooling = config.pooling or ("max" if config.recipe == "notes" else "avg")
    network = StyleNet(features, {content, *styles}, pooling=pooling, padding=_padding(config))
    mean_, std_ = (torch.tensor(values, device=runtime.device).view(1, 3, 1, 1) for values in (mean, std))
    network = network.to(runtime.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which its stubs do not know
    viewer = Viewer(network, runtime, Scale(mean_, std_), content, styles, weights, SHORTEST[config.backbone])
    network.to(viewer.dtype)
    return viewer


def _padding(config: StyleTransferConfig) -> Padding:
    """What lies beyond the edges: the notebook's zeros make a dark border."""
    if config.recipe == "notes":
        return "zeros"
    return "reflect" if config.backbone == "small" else "replicate"


def layer_names(config: StyleTransferConfig) -> list[str]:
    """The names of a network's layers, from the image on; nothing is read or downloaded."""
    with torch.device("meta"):
        if config.backbone == "small":
            _, metadata = read_tensors(SMALL_FILE)
            features = _sequence(build_from_json("cnn", metadata["configuration"]))
        else:
            features = _sequence(build_backbone(BackboneConfig(config.backbone, 1, 224)).backbone.features)
    return [name for name, _ in named_layers(features) if name]


def _small(config: StyleTransferConfig) -> tuple[nn.Sequential, tuple[float, ...], tuple[float, ...], str]:
    if config.weights != "default":
        raise InputError("--weights", "the small network has its own", "drop it, or choose another --backbone")
    tensors, metadata = read_tensors(SMALL_FILE)
    network = build_from_json("cnn", metadata["configuration"])
    load_weights(SMALL_FILE, network, tensors)
    form = preprocessing_from_json(metadata["format"])
    if not isinstance(form, ImagePreprocessing):
        raise TypeError(form)
    return nn.Sequential(*network.children()), form.mean, form.std, "small"


def _of_torchvision(config: StyleTransferConfig) -> tuple[nn.Sequential, tuple[float, ...], tuple[float, ...], str]:
    found = find_weights(config.backbone, config.weights, offline=config.offline, seed=config.seed)
    with torch.device("meta"):
        network = build_backbone(BackboneConfig(config.backbone, 1, 224))
    tensors = found.read()
    if tensors is None:
        output.warn(f"--weights none: {config.backbone} is random, and sees texture but no things")
        features = _sequence(network.backbone.features).to_empty(device="cpu")
        _draw_weights(features, config.seed)
    else:
        misfit = load_backbone(network, config.backbone, tensors)
        if misfit:
            fix = f"give the weights of {config.backbone}, or another --backbone"
            raise InputError(found.name, misfit, fix)
        features = _sequence(network.backbone.features)
    return features, found.published.mean, found.published.std, found.name


def _draw_weights(features: nn.Sequential, seed: int) -> None:
    """He's initialization, as torchvision's networks begin."""
    seed_everything(seed)
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _chosen_layers(config: StyleTransferConfig, known: list[str]) -> tuple[str, dict[str, float]]:
    usual = DEFAULTS[config.backbone]
    styles = dict(usual.style)
    if config.style_layers:
        weighted = [_weighted(word) for word in config.style_layers]
        styles = dict(weighted)
        if len(styles) < len(weighted):
            raise InputError("--style-layers", "names a layer twice", "give each once")
    content = config.content_layer or usual.content
    for option, name in (("--content-layer", content), *(("--style-layers", name) for name in styles)):
        if name not in known:
            raise unknown_choice(option, name, known, kind="layer")
    if not any(styles.values()):
        raise InputError("--style-layers", "every weight is 0", "give one above 0")
    return content, {name: weight for name, weight in styles.items() if weight}


def _weighted(word: str) -> tuple[str, float]:
    name, _, weight = word.partition(":")
    try:
        value = float(weight or 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError("--style-layers", f"'{weight}' is no weight of {name}", "write conv1_1:1.0 for example")
    return name, value


def _sequence(module: object) -> nn.Sequential:
    if not isinstance(module, nn.Sequential):
        raise TypeError(type(module).__name__)
    return module
