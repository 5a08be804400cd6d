"""Read the images that a command names, in batches, as a network's input with its place in the files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.folder_samples import DecodeSettings
from dlnotes_cli.data.images.decode import decode_chunks
from dlnotes_cli.data.images.geometry import Geometry, decode_placed
from dlnotes_cli.data.images.image_io import read_image
from dlnotes_cli.data.paths import expand_paths
from dlnotes_cli.shell import output
from dlnotes_cli.training.inspection.network import InspectedNetwork


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

    for chunk in decode_chunks(
        files, decode, batch_size, where="IMAGE", threads=settings.threads, skip_bad=settings.skip_bad
    ):
        for error in chunk.errors.values():
            output.warn(f"skipped {error.fault}")
        if chunk.images:
            yield ImageBatch(tuple(chunk.images.values()))


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
