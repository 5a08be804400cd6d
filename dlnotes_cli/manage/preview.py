"""Preview a data set: a contact sheet of augmented images, or how char-rnn cuts a text into batches of rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.batches import Augmenter, Mixer, TrainingBatch
from dlnotes_cli.data.dataset import limited
from dlnotes_cli.data.folder import choose_shape
from dlnotes_cli.data.images.augment_parser import Operation, is_flippable, parse_augment
from dlnotes_cli.data.images.decode import decode_image
from dlnotes_cli.data.listing import list_folder
from dlnotes_cli.data.named_sets import load_named
from dlnotes_cli.data.paths import kind_of
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts.characters import Text
from dlnotes_cli.data.texts.files import BOM, decoded, find_text_sources, preprocessed
from dlnotes_cli.device import available_memory
from dlnotes_cli.manage.options import DataPreviewConfig
from dlnotes_cli.plots.images import draw_pixel_numbers, draw_variants
from dlnotes_cli.plots.names import distinct_names, plain
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import named
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.show import Table, check_outputs
from dlnotes_cli.training.sequence_batches import IGNORED, SequenceBatches

_IMAGE_SIZE = 128  # pixels per side of images in files without --size, which training reduces too far to recognize
_LARGEST_SHAPE = (3, 4096, 4096)  # (C, H, W) of images
_NUMBERED_SIZE, _MOST_NUMBERED = 28, 32  # pixels per side with --numbers of large images in files, and the most
_FLOAT_COPIES, _SHEET_COPIES = 12, 3  # bytes for each byte of an image: one variant in float32; every variant in a row
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
class PreviewedBatch:
    """Rows of tokens (B, T) as text, and the token after each; a row can be shorter at the end of the text."""

    inputs: tuple[tuple[str, ...], ...]
    targets: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class TextPreview:
    """The first batches of a text."""

    data: str
    unit: str  # chars or words
    tokens: int
    vocabulary: int  # distinct tokens
    batch_size: int
    seq_len: int
    steps: int  # batches in all
    batches: tuple[PreviewedBatch, ...]

    def table(self) -> Iterator[Table | str]:
        """A row for each row of a batch, and the size of the text."""
        rows = [
            (f"{number}", f"{i}", self._shown(inputs), self._shown(targets))
            for number, batch in enumerate(self.batches, 1)
            for i, (inputs, targets) in enumerate(zip(batch.inputs, batch.targets, strict=True), 1)
        ]
        yield Table(("batch", "row", "inputs", "targets"), rows, is_result=True)
        batches = output.counted(self.steps, "batch", "batches")
        tokens = f"{self.tokens:,} {self.unit}, {self.vocabulary:,} distinct"
        yield f"{tokens}: {batches} of {self.batch_size} x {self.seq_len}"

    def _shown(self, tokens: Sequence[str]) -> str:
        return " ".join(tokens) if self.unit == "words" else repr("".join(tokens))


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
    operations: tuple[Operation, ...] = ()
    if config.numbers is not None:
        sheet = _numbers_sheet(config, chosen)
    else:
        operations = parse_augment(config.augment, chosen.samples.shape[1:], flippable=is_flippable(chosen.classes))
        sheet = _variants_sheet(config, operations, chosen)
    files.atomic_write(config.out, sheet)
    augment, variants = ("none", 0) if config.numbers else (config.augment, config.variants)
    samples = tuple(map(PreviewSample, chosen.names, chosen.indices.tolist()))
    return PreviewResult(
        config.data, augment, tuple(map(str, operations)), samples, variants, config.seed, chosen.samples.shape[1:],
        str(config.out), config.numbers,
    )  # fmt: skip


def _from_named(config: DataPreviewConfig) -> _ChosenImages:
    source = load_named(config.data, data_root=config.data_root, offline=config.offline)
    split = source.splits.get("train", next(iter(source.splits.values())))
    indices = _choose(split, source.labels, config)
    names = tuple(source.classes[label] for label in source.labels[indices])
    return _ChosenImages(np.asarray(source.samples[indices], np.uint8), indices, names, source.classes)


def _from_folder(config: DataPreviewConfig) -> _ChosenImages:
    """Decode only the chosen images; with `skip_bad`, those of them that can be read."""
    listing = list_folder(user_path(config.data))
    shape = choose_shape(
        listing, size=config.size, resize=config.resize, color=config.color, max_pixels=config.max_pixels,
        default_size=_IMAGE_SIZE,
    )  # fmt: skip
    if config.numbers and config.size is None and max(shape.height, shape.width) > _MOST_NUMBERED:
        shape = replace(shape, height=_NUMBERED_SIZE, width=_NUMBERED_SIZE)
    _check_memory(min(config.sample_count, len(listing.stamps)) * shape.nbytes, config.variants)
    splits, labels = np.array(listing.splits), np.array(listing.labels)
    split = np.flatnonzero(splits == ("train" if "train" in listing.splits else listing.splits[0]))
    images: dict[int, NDArray[np.uint8]] = {}
    for index in _choose(split, labels, config).tolist():
        try:
            images[index] = decode_image(listing.files[index], shape, config.max_pixels)
        except InputError as error:
            if not config.skip_bad:
                raise
            output.warn(f"skipped {error.fault}")
    if not images:
        raise InputError("NAME|FOLDER", f"{config.data}: no image could be read", "check the files")
    names = tuple(listing.classes[labels[index]] for index in images)
    return _ChosenImages(np.stack(list(images.values())), np.array(list(images)), names, listing.classes)


def _check_memory(nbytes: int, variants: int) -> None:
    """Raise InputError for images of so many bytes whose variants and sheet do not fit into memory."""
    needed = nbytes * (_FLOAT_COPIES + _SHEET_COPIES * (variants + 1))
    free = available_memory(torch.device("cpu"))
    if free is not None and needed > free:
        what = f"the images and their variants need about {output.size(needed)}, {output.size(free)} are free"
        raise InputError("--size", what, "use a smaller one, or fewer --samples or --variants")


def _choose(split: NDArray[np.int64], labels: NDArray[np.int64], config: DataPreviewConfig) -> NDArray[np.int64]:
    """A stratified choice of indices, sorted by class."""
    indices = limited(split, labels, config.sample_count, config.seed)
    return indices[np.argsort(labels[indices], kind="stable")]


def _numbers_sheet(config: DataPreviewConfig, chosen: _ChosenImages) -> bytes:
    """The sheet of `--numbers`. Raises InputError for images with too many pixels to read their numbers."""
    _, height, width = chosen.samples.shape[1:]
    if max(height, width) > _MOST_NUMBERED:
        fix = f"pass --size {_NUMBERED_SIZE}" if kind_of(config.data) == "folder" else "choose a set of smaller images"
        raise InputError("--numbers", f"{width}x{height} pixels are too many to read; at most {_MOST_NUMBERED}", fix)
    is_unit = config.numbers == "unit"
    title = f"{config.data}, {width}x{height} pixels, 0 (black) to {1 if is_unit else 255} (white)"
    text = (lambda value: f"{round(value / 255, 2):g}") if is_unit else str
    return draw_pixel_numbers(chosen.samples, chosen.names, title, text)


def _variants_sheet(config: DataPreviewConfig, operations: tuple[Operation, ...], chosen: _ChosenImages) -> bytes:
    """The sheet of originals and variants; its title has what a preset stands for, and the size in pixels."""
    samples = torch.from_numpy(chosen.samples)
    variants = [_variant(config.seed, operations, chosen, samples, epoch + 1) for epoch in range(config.variants)]
    rows = torch.stack([samples, *(variant.samples for variant in variants)], 1).numpy()
    captions = list(zip(*(_captions(variant, chosen.names) for variant in variants), strict=True))
    names = list(map(str, operations))
    what = config.augment if config.augment == ",".join(names) else f"{config.augment}: {', '.join(names) or 'nothing'}"
    title = f"{what} at {samples.shape[3]}x{samples.shape[2]} pixels"
    return draw_variants(rows, chosen.names, captions, title)


def _variant(
    seed: int, operations: tuple[Operation, ...], chosen: _ChosenImages, samples: Tensor, epoch: int
) -> TrainingBatch:
    """The images as one epoch of training with this seed augments them, uint8; labels are positions in `chosen`."""
    augmented = Augmenter(operations, seed)(samples, torch.from_numpy(chosen.indices), epoch)
    batch = Mixer(operations, seed)(augmented, torch.arange(len(samples)), epoch=epoch, batch=0)
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


def preview_text(config: DataPreviewConfig) -> TextPreview:
    """Cut a text into batches. Raises InputError for a text that cannot be read, or is shorter than two tokens."""
    if not config.reads_text:
        raise InputError("TEXT", f"{config.data} is not a text", "call draw_preview")
    where, text = ("--text", config.text) if config.text is not None else (config.data, _read(config.data))
    units = text.split() if config.tokens == "words" else list(text)
    if len(units) < 2:  # noqa: PLR2004  # an input and its target
        what = f"has {len(units)} {config.tokens}, but a batch needs 2: an input and its target"
        raise InputError(where, what, "give a longer text, or --tokens chars")
    vocabulary, tokens = np.unique(np.array(units), return_inverse=True)
    whole = Text(tokens.astype(np.uint32), (0, len(tokens)), (where,))
    batches = SequenceBatches(whole, config.batch_size, config.seq_len)
    if batches.batch_size != config.batch_size:
        rows = output.counted(batches.batch_size, "row")
        output.note(f"{len(tokens)} {config.tokens} are too few for {config.batch_size} rows; a batch has {rows}")
    shown = []
    for step in range(min(config.batches, batches.steps)):
        batch = batches.batch(step)
        lengths = (batch.targets != IGNORED).sum(1).tolist()  # without the padding behind the tokens
        inputs, targets = (
            tuple(tuple(vocabulary[row[:length]].tolist()) for row, length in zip(values.numpy(), lengths, strict=True))
            for values in (batch.inputs, batch.targets)
        )
        shown.append(PreviewedBatch(inputs, targets))
    return TextPreview(
        where, config.tokens, len(tokens), len(vocabulary), batches.batch_size, config.seq_len, batches.steps,
        tuple(shown),
    )  # fmt: skip


def _read(path: str) -> str:
    """The text of a file, with every line end as a newline character."""
    text = "".join(decoded(source.path or source.name, source.read_bytes()) for source in find_text_sources([path]))
    return preprocessed(text.removeprefix(BOM), TextPreprocessing("chars"))
