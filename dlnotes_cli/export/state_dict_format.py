"""Export of the weights alone, with the names that plain PyTorch or torchvision expects."""

from pathlib import Path

import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.networks.backbones import (
    BackboneConfig,
    TransferModel,
    build_torchvision_classifier,
    torchvision_code,
    torchvision_weights,
)
from dlnotes_cli.networks.embedded import EMBEDDED_NAME
from dlnotes_cli.networks.registry import build_on_meta, config_from_json
from dlnotes_cli.networks.torch_imports import meta_device
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.foreign_weights import loading_code, read_safetensors, weights_content
from dlnotes_cli.training.model_file import LanguageModel, TextModel, TrainedModel

_VERSIONED = "mnasnet"  # networks of torchvision with a version number in their state dict


class _Resized(nn.Module):
    """A network for images of one size, applied to images of any size."""

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network, self._size = network, size

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of normalized images (N, 3, H, W)."""
        if x.shape[2:] != (self._size, self._size):
            x = F.interpolate(x, (self._size, self._size), mode="bilinear", antialias=True)
        logits: Tensor = self.network(x)
        return logits


def state_dict_content(model: TrainedModel | LanguageModel | TextModel) -> bytes:
    """The content of a .safetensors file with the weights. Raises InputError where torchvision has no such network."""
    network = model.network
    if not isinstance(network, TransferModel):
        return weights_content(network.state_dict())
    backbone = model.metadata["configuration"]["backbone"]
    if backbone == EMBEDDED_NAME:
        what = f"torchvision has no network {backbone}, which is part of dlnotes"
        raise InputError("--format state-dict", what, "use --format onnx or --format pt2")
    try:
        return weights_content(torchvision_weights(network, backbone))
    except ValueError as error:
        what = f"torchvision's {backbone} applies ReLU after its last layer, and the trained head has none"
        raise InputError("--format state-dict", what, "use --format onnx or --format pt2") from error


def open_state_dict(path: Path, model: TrainedModel | LanguageModel | TextModel) -> nn.Module:
    """The network of plain PyTorch or torchvision with the weights of a file, all of which it must have."""
    name = model.metadata["model"]
    config = config_from_json(name, model.metadata["configuration"])
    with meta_device():
        network = build_torchvision_classifier(config) if isinstance(config, BackboneConfig) else None
    network = build_on_meta(name, config) if network is None else network
    tensors, state = read_safetensors(path), network.state_dict()
    if tensors.keys() != state.keys():
        raise ValueError("names of tensors")
    state.update(tensors)  # the state dict of MNASNet also has a version number, which it needs
    network.load_state_dict(state, strict=True, assign=True)
    return (_Resized(network, config.size) if isinstance(config, BackboneConfig) else network).eval()


def code_to_load(out: Path, model: TrainedModel | LanguageModel | TextModel) -> str | None:
    """Python code that loads the weights without dlnotes; None where the network has layers of its own."""
    config = config_from_json(model.metadata["model"], model.metadata["configuration"])
    if isinstance(config, BackboneConfig):
        needs_version = config.backbone.startswith(_VERSIONED)
        return loading_code(out, torchvision_code(config), "torchvision", needs_version=needs_version)
    layers = _sequence(model.network)
    return None if layers is None else loading_code(out, layers, "collections")


def _sequence(network: nn.Module) -> list[str] | None:
    """A sequence of PyTorch's own layers as lines of code; None for other networks."""
    layers = list(network.named_children())
    is_plain = all(hasattr(nn, type(layer).__name__) and not list(layer.children()) for _, layer in layers)
    if not isinstance(network, nn.Sequential) or not is_plain:
        return None
    if all(name.isdecimal() for name, _ in layers):
        return ["model = torch.nn.Sequential(", *(f"    torch.nn.{layer!r}," for _, layer in layers), ")"]
    named = [f"    {name}=torch.nn.{layer!r}," for name, layer in layers]
    return ["model = torch.nn.Sequential(collections.OrderedDict(", *named, "))"]
