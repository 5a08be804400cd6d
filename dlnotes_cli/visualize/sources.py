"""The data set that patches, neighbors and embeddings are taken from: a named set or a folder of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.dataset import LabeledSamples
from dlnotes_cli.data.folder import DecodeSettings, FeatureExtractor, read_folder
from dlnotes_cli.data.images.decode import Geometry, decode_chunks, decode_memory, decode_placed
from dlnotes_cli.data.listing import FolderListing, list_any_folder
from dlnotes_cli.data.named_sets import load_named
from dlnotes_cli.data.paths import kind_of
from dlnotes_cli.data.preprocessing import ImagePreprocessing, ImageShape
from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer
from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.training.evaluation import cached_features
from dlnotes_cli.visualize.options import EmbeddingConfig, NeighborsConfig, PatchesConfig

SourceConfig = PatchesConfig | NeighborsConfig | EmbeddingConfig
Images = NDArray[np.uint8]  # (N, C, H, W), as the network reads them
_BATCH = 256  # images of a named set that are resized at a time


@dataclass(frozen=True)
class _NamedSet:
    """A named set in memory; images of another size than the network's are resized, and their channels adapted."""

    name: str  # as `--data` has it
    loaded: LabeledSamples
    shape: ImageShape

    def __len__(self) -> int:
        return len(self.loaded.labels)

    def name_of(self, position: int) -> str:
        """The file, or the position in a named set."""
        return str(position)

    def class_of(self, position: int) -> str | None:
        """The class of an image; None in a folder without class folders."""
        return str(self.loaded.classes[self.loaded.labels[position]])

    def batches(self, size: int) -> Iterator[tuple[list[int], Images]]:
        """Positions and pixels of all readable images, in order."""
        for start in range(0, len(self), size):
            positions = list(range(start, min(start + size, len(self))))
            yield positions, np.stack([self.image(position)[0] for position in positions])

    def image(self, position: int) -> tuple[Images, Geometry]:
        """Pixels (C, H, W) of one image, and where they lie in it."""
        sample = np.asarray(self.loaded.samples[position], np.uint8).transpose(1, 2, 0)
        height, width = sample.shape[:2]
        return decode_memory(self.name, sample, self.shape), Geometry.of_file((width, height), 1, self.shape)

    def features(self, extractor: FeatureExtractor) -> tuple[NDArray[np.float32], Sequence[int]]:
        """Features (N, F) of the readable images, with their positions; those of a folder are cached."""
        found = []
        with output.progress("images") as bar:
            for positions, pixels in self.batches(_BATCH):
                found.append(extractor.run(pixels, positions))
                bar.update((positions[-1] + 1) / len(self))
        return np.concatenate(found), range(len(self))


@dataclass(frozen=True)
class _Folder:
    """The image files of a folder, decoded batch by batch."""

    name: str
    listing: FolderListing
    shape: ImageShape
    settings: DecodeSettings

    def __len__(self) -> int:
        return len(self.listing.stamps)

    def name_of(self, position: int) -> str:
        return self.listing.path(position)

    def class_of(self, position: int) -> str | None:
        return self.listing.classes[self.listing.labels[position]] or None

    def batches(self, size: int) -> Iterator[tuple[list[int], Images]]:
        for images in decode_chunks(
            self.listing.files, self._decode, size,
            where="--data", threads=self.settings.threads, skip_bad=self.settings.skip_bad,
        ):  # fmt: skip
            yield list(images), np.stack([pixels for pixels, _ in images.values()])

    def image(self, position: int) -> tuple[Images, Geometry]:
        return self._decode(self.listing.files[position])

    def features(self, extractor: FeatureExtractor) -> tuple[NDArray[np.float32], Sequence[int]]:
        read = read_folder(self.listing, self.shape, self.settings, extractor)
        position = {self.listing.path(i): i for i in range(len(self))}
        return np.asarray(read.samples, np.float32), [position[path] for path in read.files]

    def _decode(self, path: Path) -> tuple[Images, Geometry]:
        return decode_placed(path, self.shape, self.settings.max_pixels)


ImageSource = _NamedSet | _Folder  # images by position, each with a name and, where there are classes, a class


def open_source(config: SourceConfig, preprocessing: ImagePreprocessing) -> ImageSource:
    """The images that `--data` names. Raises InputError for a table, an unknown name and a folder without images."""
    kind = kind_of(config.data)
    if kind == "table":
        raise InputError("--data", f"{config.data} is a table, this command reads images", "give a folder of images")
    if kind == "folder":
        listing = list_any_folder(user_path(config.data))
        return _Folder(str(listing.root), listing, preprocessing.image_shape, decode_settings(config))
    loaded = load_named(config.data, data_root=config.data_root, offline=config.offline)
    whole = replace(preprocessing.image_shape, resize="squash", crop_pct=1.0)
    return _NamedSet(config.data, loaded, whole)


def decode_settings(config: SourceConfig) -> DecodeSettings:
    """How image files are read."""
    return DecodeSettings(config.threads or default_threads(), config.max_pixels, skip_bad=config.skip_bad)


def feature_layer(network: InspectedNetwork, name: str | None) -> NamedLayer:
    """The layer called `name`, by default the last one before the output layer. Raises InputError."""
    if name is not None:
        return network.layer(name)
    return network.layers[max(0, network.layers.index(network.output_layer) - 1)]


def feature_extractor(network: InspectedNetwork, layer: NamedLayer) -> FeatureExtractor:
    """The computation of features (n, F) from pixels, cached as those of `transfer` are.

    They are the channels of maps or the values of tokens, averaged over positions.
    """

    def compute(samples: Tensor, _seeds: Tensor) -> Tensor:
        outputs = network.activations(network.prepare(samples), [layer])[layer.name].float()
        if outputs.ndim == 3:  # noqa: PLR2004  # (N, tokens, values)
            return outputs.mean(dim=1)
        return outputs.flatten(2).mean(dim=2) if outputs.ndim > 3 else outputs  # noqa: PLR2004  # (N, C, H, W)

    width = layer.shape[-1] if len(layer.shape) == 2 else layer.shape[0]  # noqa: PLR2004  # (tokens, values)
    name = f"{network.kind}-{network.digest}-{layer.name}-{network.preprocessing.image_shape}"
    return cached_features(name, width, compute, network.runtime)
