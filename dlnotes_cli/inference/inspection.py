"""Open a network for inspection (of dlnotes, of torchvision, or the bundled one), and read images for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.folder import DecodeSettings
from dlnotes_cli.data.images.decode import Geometry, decode_chunks, decode_placed
from dlnotes_cli.data.images.image_io import read_image
from dlnotes_cli.data.paths import expand_paths
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import Runtime, choose_runtime
from dlnotes_cli.inference.inspected_network import InspectedNetwork, numbered_names, path_names
from dlnotes_cli.networks import backbones
from dlnotes_cli.networks.backbones import TransferModel
from dlnotes_cli.networks.choices import BACKBONES
from dlnotes_cli.networks.embedded import EMBEDDED_NAME
from dlnotes_cli.networks.torch_imports import meta_device
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.training.model_file import EMBEDDED_MODEL, TrainedModel, load_classifier
from dlnotes_cli.training.pretrained import PretrainedWeights, find_weights

_DIGEST_DIGITS = 12  # of a SHA-256: enough to tell weights apart in the cache
_BACKBONE_PREFIX = "backbone."


class _NetworkOptions(Protocol):
    """The options of a command that opens a network."""

    @property
    def model(self) -> str: ...
    @property
    def weights(self) -> str | None: ...
    @property
    def offline(self) -> bool: ...
    @property
    def seed(self) -> int: ...
    @property
    def threads(self) -> int | None: ...
    @property
    def device(self) -> str: ...
    @property
    def precision(self) -> str: ...


class _Backbone(nn.Module):
    """A network of torchvision, or the backbone and head of a transferred one, for images of any size it accepts."""

    def __init__(self, backbone: nn.Module, head: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of normalized images (N, 3, H, W)."""
        logits: Tensor = self.head(self.backbone(x).flatten(1))
        return logits


def open_network(options: _NetworkOptions) -> InspectedNetwork:
    """The network that MODEL and `--weights` name, on its device, in evaluation mode.

    A name has priority over a file of that name, which `./NAME` still reaches. `--precision auto` is fp32, as gradients
    are noisy in bf16. Raises InputError for a model that does not classify images, and for an unknown name, file,
    weights or device.
    """
    if options.model in BACKBONES:
        return _open_torchvision(options)
    if options.weights is not None:
        what = f"{options.model} has its own weights"
        raise InputError("--weights", what, "drop it, or name a torchvision network such as resnet18")
    path = EMBEDDED_MODEL if options.model == EMBEDDED_NAME else _model_path(options.model)
    model = load_classifier(path)
    if not isinstance(model.preprocessing, ImagePreprocessing):
        raise InputError(
            path, "the model reads tables, but this command needs a classifier of images", "use another model"
        )
    return _inspected(options, model, model.preprocessing)


def _model_path(name: str) -> Path:
    path = user_path(name)
    if not path.exists() and not any(mark in name for mark in "/\\."):
        raise unknown_choice("MODEL", name, (EMBEDDED_NAME, *BACKBONES), "model", _HOW_TO_NAME)
    if path.is_dir() and not (path / "model.safetensors").exists():
        raise InputError(path, "the folder has no model.safetensors", "name the run folder of a trained classifier")
    if path.is_file() and path.suffix.lower() in _IMAGE_SUFFIXES:
        fix = f"name the model first, {EMBEDDED_NAME} for the bundled network"
        raise InputError("MODEL", f"{path} is an image", fix)
    return path


_HOW_TO_NAME = f"name a run folder, a model file, a torchvision network or {EMBEDDED_NAME}"
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def _inspected(options: _NetworkOptions, model: TrainedModel, preprocessing: ImagePreprocessing) -> InspectedNetwork:
    network, size, is_numbered = model.network, None, model.name == "cnn"
    if isinstance(network, TransferModel):
        size = model.metadata["configuration"]["size"]
        network = _Backbone(network.backbone, network.head)
    names = numbered_names(network) if is_numbered else path_names(network, _BACKBONE_PREFIX)
    return InspectedNetwork(
        options.model, model.name, str(model.path), str(model.metadata["sha256"])[:_DIGEST_DIGITS],
        _frozen(network, runtime := _runtime(options)), runtime, preprocessing, model.classes, size, names,
    )  # fmt: skip


def _open_torchvision(options: _NetworkOptions) -> InspectedNetwork:
    weights = find_weights(options.model, options.weights or "default", offline=options.offline, seed=options.seed)
    network, classes = _load_torchvision(options, weights)
    preprocessing = weights.preprocessing(weights.expected.size, "crop")
    whole = _Backbone(network)
    names = path_names(whole, _BACKBONE_PREFIX)
    return InspectedNetwork(
        options.model, "backbone", weights.name, weights.digest, _frozen(whole, runtime := _runtime(options)), runtime,
        preprocessing, classes, names=names,
    )  # fmt: skip


def _load_torchvision(options: _NetworkOptions, weights: PretrainedWeights) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with its weights, and the names of its classes: ImageNet's, or numbers where it has others."""
    name, size, tensors = options.model, weights.expected.size, weights.read()
    imagenet = backbones.imagenet_classes(name)
    if tensors is None:
        output.warn(f"--weights none: {name} has random weights; what it shows is learned from no image")
        seed_everything(options.seed)
        return backbones.build_classifier(name, size), imagenet
    outputs = backbones.count_outputs(name, tensors)
    with meta_device():
        network = backbones.build_classifier(name, size, outputs)
    if hasattr(network, "transform_input"):
        setattr(network, "transform_input", True)  # noqa: B010  # mypy takes it for a module
    misfit = backbones.load_classifier_weights(network, name, tensors)
    if misfit:
        raise InputError(weights.name, misfit, f"use weights of {name}, or name another MODEL")
    return network, imagenet if outputs == len(imagenet) else tuple(f"class {i}" for i in range(outputs))


def _runtime(options: _NetworkOptions) -> Runtime:
    return choose_runtime(options.device, options.precision, options.threads, bf16_pays=False)


def _frozen(network: nn.Module, runtime: Runtime) -> nn.Module:
    """The network on its device, without gradients of parameters and without layers in place."""
    for module in network.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010  # as above
    network = network.requires_grad_(requires_grad=False).eval().to(runtime.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which its stubs do not know
    return network


@dataclass(frozen=True)
class PlacedImage:
    """An image as the network sees it."""

    path: Path
    pixels: NDArray[np.uint8]  # (C, H, W)
    geometry: Geometry

    def true_class(self, classes: Sequence[str]) -> str | None:
        """The class that the image's folder is named after, if it is one of these."""
        name = self.path.absolute().parent.name
        return name if name in classes else None


@dataclass(frozen=True)
class ImageBatch:
    """Some images that were read one after the other."""

    images: tuple[PlacedImage, ...]

    def samples(self) -> Tensor:
        """Pixels uint8 (N, C, H, W)."""
        return torch.from_numpy(np.stack([image.pixels for image in self.images]))


def read_batches(
    paths: Sequence[str], network: InspectedNetwork, settings: DecodeSettings, batch_size: int
) -> Iterator[ImageBatch]:
    """Batches of the images that files, folders and patterns name, in order; none is empty.

    Raises InputError for a path without images, for an unreadable image, and with `--skip-bad` if none is readable.
    """
    files = expand_paths(paths, tables=False)
    shape = network.preprocessing.image_shape

    def decode(path: Path) -> PlacedImage:
        return PlacedImage(path, *decode_placed(path, shape, settings.max_pixels))

    for images in decode_chunks(
        files, decode, batch_size, where="IMAGE", threads=settings.threads, skip_bad=settings.skip_bad
    ):
        yield ImageBatch(tuple(images.values()))


def upright_pixels(path: Path, max_pixels: int) -> NDArray[np.uint8]:
    """An image (H, W, 3) as viewers show it, over white where it is transparent, as the network sees it."""
    image = read_image(path, "rgb", max_pixels)
    if image.alpha is None:
        return image.values
    opacity = image.alpha[..., None].astype(np.float32) / 255
    return np.rint(image.values * opacity + 255 * (1 - opacity)).astype(np.uint8)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Images (N, C, H, W) averaged with a Gaussian window of so many pixels; beyond the border is their reflection."""
    channels, radius = images.shape[1], min(ceil(3 * sigma), min(images.shape[2:]) - 1)
    at = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    window = torch.exp(-0.5 * (at / sigma) ** 2)
    window = (window / window.sum()).view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    padded = F.pad(images, (radius, radius, radius, radius), mode="reflect")
    return F.conv2d(F.conv2d(padded, window, groups=channels), window.mT, groups=channels)
