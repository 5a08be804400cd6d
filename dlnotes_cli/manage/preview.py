"""Draw a contact sheet of augmented images of a data set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli.data.folder import choose_shape
from dlnotes_cli.data.images.augment import Augmenter, Mixer, TrainingBatch
from dlnotes_cli.data.images.augment_parser import Operation, is_flippable, parse_augment
from dlnotes_cli.data.images.decode import decode_image
from dlnotes_cli.data.listing import list_folder
from dlnotes_cli.data.named.named_sets import load_named
from dlnotes_cli.data.paths import kind_of
from dlnotes_cli.data.splits import limited
from dlnotes_cli.manage.options import DataPreviewConfig
from dlnotes_cli.plots.images import draw_variants
from dlnotes_cli.plots.names import distinct_names, plain
from dlnotes_cli.plots.pixel_numbers import draw_pixel_numbers
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import named
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.show import check_outputs

_IMAGE_SIZE = 128  # pixels per side of images in files without --size, which training reduces too far to recognize
_LARGEST_SHAPE = (3, 4096, 4096)  # (C, H, W) of images
_NUMBERED_SIZE, _MOST_NUMBERED = 28, 32  # pixels per side of images in files with --numbers, and the most it draws
_CAPTION_COLUMNS = 16  # of a class name below a mixed image


@dataclass(frozen=True)
class PreviewSample:
    """An image of the sheet: its class, and its index in the data set."""

    class_name: str = field(metadata=named("class"))
    index: int


@dataclass(frozen=True)
class PreviewResult:
    """What a contact sheet of augmented images shows."""

    data: str
    augment: str
    operations: tuple[str, ...]
    samples: tuple[PreviewSample, ...]
    variants: int  # of each sample
    seed: int
    shape: tuple[int, ...]  # (C, H, W)
    out: str
    numbers: str | None = None  # how pixel values are written into the images

    def table(self) -> Iterator[str]:
        """What is drawn, and the file."""
        what = "pixel values" if self.numbers else ", ".join(self.operations) or "no operation"
        yield f"{what} on {output.counted(len(self.samples), 'image')} of {'x'.join(map(str, self.shape))}"
        yield self.out


@dataclass(frozen=True)
class _ChosenImages:
    """Images uint8 (N, C, H, W), their indices in the data set and their class names."""

    samples: NDArray[np.uint8]
    indices: NDArray[np.int64]
    names: tuple[str, ...]
    classes: tuple[str, ...]  # of the whole data set


def draw_preview(config: DataPreviewConfig) -> PreviewResult:
    """Write a sheet with an original and its augmented variants in each row, or of originals with their numbers.

    Raises InputError for invalid augmentations, data or output file, and for a text, which `preview_text` reads.
    """
    if config.reads_text:
        raise InputError("NAME|FOLDER", "is a text, not images", "call preview_text")
    kind = kind_of(config.data, "NAME|FOLDER")
    if kind == "table":
        what = f"{config.data} is a table, but only images can be augmented"
        raise InputError("NAME|FOLDER", what, "give a named set or a folder of images")
    parse_augment(config.augment, _LARGEST_SHAPE, flippable=True)  # before the size of the images is known
    check_outputs(config)
    chosen = _from_named(config) if kind == "named" else _from_folder(config)
    if config.numbers is not None:
        return _draw_numbers(config, chosen)
    operations = parse_augment(config.augment, chosen.samples.shape[1:], flippable=is_flippable(chosen.classes))
    names = tuple(map(str, operations))
    variants = [_variant(config.seed, operations, chosen, epoch + 1) for epoch in range(config.variants)]
    rows = torch.stack([torch.from_numpy(chosen.samples), *(variant.samples for variant in variants)], 1).numpy()
    captions = list(zip(*(_captions(variant, chosen.names) for variant in variants), strict=True))
    files.atomic_write(
        config.out, draw_variants(rows, chosen.names, captions, _title(config.augment, names, chosen.samples.shape))
    )
    return PreviewResult(
        data=config.data,
        augment=config.augment,
        operations=names,
        samples=_samples(chosen),
        variants=config.variants,
        seed=config.seed,
        shape=chosen.samples.shape[1:],
        out=str(config.out),
    )


def _draw_numbers(config: DataPreviewConfig, chosen: _ChosenImages) -> PreviewResult:
    """Write the sheet of `--numbers`. Raises InputError for images with too many pixels to read their numbers."""
    _, height, width = chosen.samples.shape[1:]
    if max(height, width) > _MOST_NUMBERED:
        fix = f"pass --size {_NUMBERED_SIZE}" if kind_of(config.data) == "folder" else "choose a set of smaller images"
        raise InputError("--numbers", f"{width}x{height} pixels are too many to read; at most {_MOST_NUMBERED}", fix)
    is_unit = config.numbers == "unit"
    scale = "0 (black) to 1 (white)" if is_unit else "0 (black) to 255 (white)"
    text = (lambda value: f"{round(value / 255, 2):g}") if is_unit else str
    title = f"{config.data}, {width}x{height} pixels, {scale}"
    files.atomic_write(config.out, draw_pixel_numbers(chosen.samples, chosen.names, title, text))
    return PreviewResult(
        data=config.data, augment="none", operations=(), samples=_samples(chosen), variants=0, seed=config.seed,
        shape=chosen.samples.shape[1:], out=str(config.out), numbers=config.numbers,
    )  # fmt: skip


def _samples(chosen: _ChosenImages) -> tuple[PreviewSample, ...]:
    return tuple(PreviewSample(*pair) for pair in zip(chosen.names, chosen.indices.tolist(), strict=True))


def _title(augment: str, operations: tuple[str, ...], shape: tuple[int, ...]) -> str:
    """The value of `--augment`, the operations that a preset stands for, and the size in pixels."""
    listed = ",".join(operations)
    what = augment if augment == listed else f"{augment}: {', '.join(operations) or 'nothing'}"
    return f"{what} at {shape[-1]}x{shape[-2]} pixels"


def _variant(seed: int, operations: tuple[Operation, ...], chosen: _ChosenImages, epoch: int) -> TrainingBatch:
    """The images as one epoch of training with this seed augments them, uint8; labels are positions in `chosen`."""
    indices = torch.from_numpy(chosen.indices)
    samples = Augmenter(operations, seed)(torch.from_numpy(chosen.samples), indices, epoch)
    batch = Mixer(operations, seed)(samples, torch.arange(len(samples)), epoch=epoch, batch=0)
    if batch.samples.dtype == torch.uint8:
        return batch
    return replace(batch, samples=batch.samples.round().clamp(0, 255).to(torch.uint8))


def _captions(variant: TrainingBatch, names: Sequence[str]) -> list[str]:
    """For each image the weights of the two classes that it is mixed of; empty if it is not mixed."""
    if variant.mixed_labels is None:
        return [""] * len(names)
    shown = distinct_names(names, _CAPTION_COLUMNS)
    pairs = zip(variant.labels.tolist(), variant.mixed_labels.tolist(), strict=True)
    return [f"{variant.weight:.2f} {plain(shown[i])}\n+ {1 - variant.weight:.2f} {plain(shown[j])}" for i, j in pairs]


def _choose(split: NDArray[np.int64], labels: NDArray[np.int64], config: DataPreviewConfig) -> NDArray[np.int64]:
    """A stratified choice of indices, sorted by class."""
    indices = limited(split, labels, config.sample_count, config.seed)
    return indices[np.argsort(labels[indices], kind="stable")]


def _from_named(config: DataPreviewConfig) -> _ChosenImages:
    source = load_named(config.data, data_root=config.data_root, offline=config.offline)
    split = source.splits.get("train", next(iter(source.splits.values())))
    indices = _choose(split, source.labels, config)
    names = tuple(source.classes[label] for label in source.labels[indices])
    return _ChosenImages(np.asarray(source.samples[indices], np.uint8), indices, names, source.classes)


def _from_folder(config: DataPreviewConfig) -> _ChosenImages:
    """Decode only the chosen images; with `skip_bad`, those of them that can be read."""
    listing = list_folder(user_path(config.data))
    limit = config.max_pixels
    size = config.size or (None if config.numbers is None else _NUMBERED_SIZE)
    shape = choose_shape(
        listing, size=size, resize=config.resize, color=config.color, max_pixels=limit, default_size=_IMAGE_SIZE
    )
    splits, labels = np.array(listing.splits), np.array(listing.labels)
    split = np.flatnonzero(splits == ("train" if "train" in listing.splits else listing.splits[0]))
    images: dict[int, NDArray[np.uint8]] = {}
    for index in _choose(split, labels, config).tolist():
        try:
            images[index] = decode_image(listing.files[index], shape, limit)
        except InputError as error:
            if not config.skip_bad:
                raise
            output.warn(f"skipped {error.fault}")
    if not images:
        raise InputError("NAME|FOLDER", f"{config.data}: no image could be read", "check the files")
    names = tuple(listing.classes[labels[index]] for index in images)
    return _ChosenImages(np.stack(list(images.values())), np.array(list(images)), names, listing.classes)
