"""Open a network for inspection (of dlnotes, of torchvision, or the bundled one), and read images for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.folder import DecodeSettings
from dlnotes_cli.data.images import transforms
from dlnotes_cli.data.images.decode import Geometry, decode_chunks, decode_placed
from dlnotes_cli.data.images.image_io import read_image
from dlnotes_cli.data.paths import expand_paths
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.inference.inspected_network import InspectedNetwork, numbered_names, path_names
from dlnotes_cli.inference.inspection_options import NetworkConfig
from dlnotes_cli.networks import backbones
from dlnotes_cli.networks.backbones import TransferModel
from dlnotes_cli.networks.choices import BACKBONES
from dlnotes_cli.networks.embedded import EMBEDDED_NAME
from dlnotes_cli.networks.torch_imports import meta_device
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.training.model_file import EMBEDDED_MODEL, load_classifier
from dlnotes_cli.training.pretrained import PretrainedWeights, find_weights

_DIGEST_DIGITS = 12  # of a SHA-256: enough to tell weights apart in the cache
_BACKBONE_PREFIX = "backbone."
_BLUR_REACH = 3  # standard deviations


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


def open_network(options: NetworkConfig) -> InspectedNetwork:
    """The network that MODEL and `--weights` name, on its device, in evaluation mode.

    A name has priority over a file of that name, which `./NAME` still reaches. `--precision auto` is fp32, as gradients
    are noisy in bf16. Raises InputError for a model that does not classify images, and for an unknown name, file,
    weights or device.
    """
    if options.model in BACKBONES:
        weights = find_weights(options.model, options.weights or "default", offline=options.offline, seed=options.seed)
        network, classes = _load_torchvision(options, weights)
        preprocessing = weights.preprocessing(weights.expected.size, "crop")
        return _inspected(options, network, ("backbone", weights.name, weights.digest), preprocessing, classes)
    if options.weights is not None:
        what = f"{options.model} has its own weights"
        raise InputError("--weights", what, "drop it, or name a torchvision network such as resnet18")
    path = EMBEDDED_MODEL if options.model == EMBEDDED_NAME else _model_path(options.model)
    model = load_classifier(path)
    if not isinstance(model.preprocessing, ImagePreprocessing):
        what = "the model reads tables, but this command needs a classifier of images"
        raise InputError(path, what, "use another model")
    source = model.name, str(model.path), str(model.metadata["sha256"])[:_DIGEST_DIGITS]
    size = model.metadata["configuration"]["size"] if isinstance(model.network, TransferModel) else None
    return _inspected(options, model.network, source, model.preprocessing, model.classes, size)


def _inspected(
    options: NetworkConfig, network: nn.Module, source: tuple[str, str, str], preprocessing: ImagePreprocessing,
    classes: tuple[str, ...], input_size: int | None = None,
) -> InspectedNetwork:  # fmt: skip
    """A network on its device; `source` is its kind, the name of its weights and their digest."""
    if isinstance(network, TransferModel):
        network = _Backbone(network.backbone, network.head)
    elif source[0] == "backbone":
        network = _Backbone(network)
    names = numbered_names(network) if source[0] == "cnn" else path_names(network, _BACKBONE_PREFIX)
    for module in network.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010  # mypy takes it for a module
    runtime = choose_runtime(options.device, options.precision, options.threads, bf16_pays=False)
    network = network.requires_grad_(requires_grad=False).eval().to(runtime.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which its stubs do not know
    return InspectedNetwork(
        options.model, *source, network, runtime, preprocessing, classes, input_size, names
    )  # fmt: skip


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


def _load_torchvision(options: NetworkConfig, weights: PretrainedWeights) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with its weights, and the names of its classes: ImageNet's, or numbers where it has others."""
    name, size, tensors = options.model, weights.expected.size, weights.read()
    imagenet = backbones.imagenet_classes(name)
    if tensors is None:
        output.warn(f"--weights none: {name} has random weights; what it shows is learned from no image")
        seed_everything(options.seed)
        return backbones.build_classifier(name, size), imagenet
    outputs = backbones.count_outputs(name, tensors)
    with meta_device():
        network = backbones.build_classifier(name, size, outputs, transform_input=True)
    fix = f"use weights of {name}, or name another MODEL"
    backbones.load_classifier_weights(network, tensors, weights.name, fix)
    return network, imagenet if outputs == len(imagenet) else tuple(f"class {i}" for i in range(outputs))


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
    """Images (N, C, H, W) blurred with a standard deviation in pixels; beyond the border is their reflection."""
    sigmas = torch.full((len(images),), sigma, device=images.device)
    return transforms.blurred(images, sigmas, ceil(_BLUR_REACH * sigma))
