"""A sheet that shows what augmentation does to the images of a data set."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli import plots
from dlnotes_cli.data import folder
from dlnotes_cli.data.images.augment import Augmenter
from dlnotes_cli.data.images.augment_parser import Operation, is_flippable, parse_augment
from dlnotes_cli.data.images.decode import decode_image
from dlnotes_cli.data.images.mix import Mixer
from dlnotes_cli.data.load import kind_of
from dlnotes_cli.data.named import named_sets
from dlnotes_cli.data.splits import limited
from dlnotes_cli.manage.options_data import DataPreviewConfig
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path


@dataclass(frozen=True)
class _Shown:
    """The images of the sheet: uint8 (N, C, H, W), their places in the data set, and their classes' names."""

    samples: NDArray[np.uint8]
    indices: NDArray[np.int64]
    names: tuple[str, ...]
    classes: tuple[str, ...]  # all there are


def draw_preview(config: DataPreviewConfig) -> dict[str, Any]:
    """Write the sheet of originals and variants; what `--json` shows.

    Raises InputError where the words, the data or the output file are not right.
    """
    files.check_output_file("--out", config.out, overwrite=config.overwrite)
    kind = kind_of(config.data)
    if kind == "table":
        raise InputError("DATA", f"{config.data} is a table, only images are augmented", "give images")
    shown = _from_named(config) if kind == "named" else _from_folder(config)
    operations = parse_augment(config.augment, shown.samples.shape[1:], flippable=is_flippable(shown.classes))
    words = [str(operation) for operation in operations]
    originals = torch.from_numpy(shown.samples)
    columns = [originals, *(_variant(config.seed, operations, shown, epoch + 1) for epoch in range(config.variants))]
    title = (
        config.augment if config.augment == ",".join(words) else f"{config.augment}: {', '.join(words) or 'nothing'}"
    )
    files.atomic_write(config.out, plots.variants(torch.stack(columns, 1).numpy(), shown.names, title))
    return {
        "data": config.data,
        "augment": config.augment,
        "operations": words,
        "samples": [{"class": n, "index": i} for n, i in zip(shown.names, shown.indices.tolist(), strict=True)],
        "variants": config.variants,
        "seed": config.seed,
        "shape": list(shown.samples.shape[1:]),
        "out": str(config.out),
    }


def _variant(seed: int, operations: tuple[Operation, ...], shown: _Shown, epoch: int) -> Tensor:
    """What an epoch of training with this seed makes of the images, uint8."""
    samples = Augmenter(operations, seed)(torch.from_numpy(shown.samples), torch.from_numpy(shown.indices), epoch)
    mixed = Mixer(operations, seed)(samples, torch.from_numpy(shown.indices), epoch=epoch, batch=0).samples
    return mixed if mixed.dtype == torch.uint8 else mixed.round().clamp(0, 255).to(torch.uint8)


def _chosen(part: NDArray[np.int64], labels: NDArray[np.int64], config: DataPreviewConfig) -> NDArray[np.int64]:
    """Indices of images of all classes alike, class by class."""
    indices = limited(part, labels, config.samples, config.seed)
    return indices[np.argsort(labels[indices], kind="stable")]


def _from_named(config: DataPreviewConfig) -> _Shown:
    source = named.load_named(config.data, data_root=config.data_root, offline=config.offline)
    part = source.splits.get("train", next(iter(source.splits.values())))
    indices = _chosen(part, source.labels, config)
    names = tuple(source.classes[label] for label in source.labels[indices])
    return _Shown(np.asarray(source.samples[indices], np.uint8), indices, names, source.classes)


def _from_folder(config: DataPreviewConfig) -> _Shown:
    """Decode no more than the images that are shown; with `skip_bad`, those of them that can be read."""
    listing = folder.list_folder(user_path(config.data))
    limit = config.max_pixels
    shape = folder.choose_shape(listing, size=config.size, resize=config.resize, color=config.color, max_pixels=limit)
    parts, labels = np.array(listing.splits), np.array(listing.labels)
    part = np.flatnonzero(parts == ("train" if "train" in listing.splits else listing.splits[0]))
    images: dict[int, NDArray[np.uint8]] = {}
    for index in _chosen(part, labels, config).tolist():
        try:
            images[index] = decode_image(listing.files[index], shape, limit)
        except InputError as error:
            if not config.skip_bad:
                raise
            output.warn(f"skipped {error.fault}")
    if not images:
        raise InputError("DATA", f"{config.data}: no image could be read", "check the files")
    names = tuple(listing.classes[labels[index]] for index in images)
    return _Shown(np.stack(list(images.values())), np.array(list(images)), names, listing.classes)
