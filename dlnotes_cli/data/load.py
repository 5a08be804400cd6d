"""From the words of `--data` to a data set: named, folder or table; for training, or for a model that exists."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data import folder, table
from dlnotes_cli.data.cache.pixels import Extraction, Reading
from dlnotes_cli.data.dataset import DataSet, Source
from dlnotes_cli.data.named import sets as named
from dlnotes_cli.data.options import NAMED_SETS, DataOptions, SourceOptions
from dlnotes_cli.data.paths import TABLES
from dlnotes_cli.data.preprocessing import ImagePreprocessing, ImageShape, Preprocessing, TablePreprocessing
from dlnotes_cli.data.splits import complete_splits, limited
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, reason, unknown_choice
from dlnotes_cli.shell.files import user_path

Kind = Literal["named", "folder", "table"]
_CHUNK_BYTES = 1 << 23  # looked at together when a statistic is taken


def kind_of(data: str) -> Kind:
    """What `--data` names; a named set wins over a folder of the same name, which `./NAME` still reaches."""
    if data in NAMED_SETS:
        return "named"
    path = user_path(data)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise InputError("--data", f"{path} cannot be read ({reason(error)})", "check the path") from error
    if is_folder:
        return "folder"
    if is_file and path.suffix.lower() in TABLES:
        return "table"
    if is_file:
        raise InputError("--data", f"{path} is neither a folder nor a CSV file", "give a named set, a folder or a .csv")
    if any(mark in data for mark in "/\\."):
        raise InputError("--data", f"no such file or folder: {path}", "check the path")
    raise unknown_choice("--data", data, NAMED_SETS, kind="data set (and no such folder)")


def load_training_data(options: DataOptions, *, seed: int, threads: int) -> DataSet:
    """Read, split and describe the data of a training run; `options` has its recipe filled in."""
    kind = kind_of(options.data)
    dataset = _training_table(options, seed) if kind == "table" else _training_images(options, kind, seed, threads)
    return _limited(dataset, options, seed)


def load_preprocessed(
    options: DataOptions,
    wanted: ImagePreprocessing,
    *,
    seed: int,
    reading: Reading,
    extraction: Extraction | None = None,
) -> DataSet:
    """Read and split images in the format of a network that is trained already; named sets keep their own size.

    With an `extraction` the samples are features, float32 (N, F). Those of a folder are kept, so that only images
    that have changed are looked at again.
    """
    if kind_of(options.data) == "folder":
        listing = folder.list_folder(user_path(options.data))
        _check_classes(str(listing.root), listing.classes)
        source = folder.read_folder(listing, wanted.form, reading, extraction)
        return _limited(_dataset(source, _split(source, options, seed), wanted, source.fingerprint), options, seed)
    source = named.load_named(options.data, data_root=options.data_root, offline=options.offline)
    source = replace(source, samples=in_channels(source.samples, wanted.channels))
    height, width = source.samples.shape[2:]
    wanted = replace(wanted, height=height, width=width, crop_pct=1.0)
    dataset = _dataset(source, _split(source, options, seed), wanted, f"named:{options.data}")
    dataset = _limited(dataset, options, seed)
    if extraction is None:
        return dataset
    used = np.sort(np.concatenate(list(dataset.splits.values())))
    rows = np.zeros((len(source.labels), extraction.width), np.float32)
    rows[used] = _extracted(source.samples[used], extraction, reading.poll)
    return replace(dataset, samples=rows)


def load_view(
    options: DataOptions, dataset: DataSet, wanted: ImagePreprocessing, reading: Reading, extraction: Extraction
) -> NDArray[np.float32]:
    """Other features (n, F) of the training split of a data set from `load_preprocessed`, in its order."""
    chosen = dataset.splits["train"]
    if dataset.files:
        listing = folder.list_folder(user_path(options.data)).only({dataset.files[i] for i in chosen})
        return np.asarray(folder.read_folder(listing, wanted.form, reading, extraction).samples)
    return _extracted(load_named_pixels(options, wanted)[chosen], extraction, reading.poll)


def load_named_pixels(options: DataOptions, wanted: ImagePreprocessing) -> NDArray[np.uint8]:
    """The images (N, C, H, W) of a named set as `load_preprocessed` takes them."""
    source = named.load_named(options.data, data_root=options.data_root, offline=options.offline)
    return np.asarray(in_channels(source.samples, wanted.channels), np.uint8)


def check_images(options: DataOptions, reader: str) -> None:
    """Refuse a table for a network that reads images. Raises InputError."""
    if kind_of(options.data) == "table":
        raise InputError("--data", f"{options.data} is a table, and {reader} needs images", "use train-mlp")


def has_test_split(options: DataOptions) -> bool:
    """Whether images will have a part to test on: a folder without splits is split, and named sets have one."""
    if kind_of(options.data) != "folder":
        return True
    return bool({"all", "test"} & set(folder.list_folder(user_path(options.data)).splits))


def in_channels(samples: NDArray[np.generic], channels: int) -> NDArray[np.generic]:
    """Gray images (N, 1, H, W) as colored ones where those are asked for; others as they are."""
    return np.repeat(samples, channels, axis=1) if samples.shape[1] == 1 < channels else samples


def load_for_model(data: str, options: SourceOptions, preprocessing: Preprocessing, *, threads: int) -> DataSet:
    """Read data in the format that a model was trained with; its parts are those that the data itself names."""
    kind = kind_of(data)
    have, need = ("a CSV table" if is_table else "images" for is_table in (kind == "table", _is_table(preprocessing)))
    if have != need:
        raise InputError("--data", f"{data} holds {have}, the model was trained on {need}", f"give {need}")
    if isinstance(preprocessing, TablePreprocessing):
        return _table_for_model(user_path(data), preprocessing)
    if kind == "named":
        return _named_for_model(data, options, preprocessing)
    listing = folder.list_folder(user_path(data))
    source = folder.read_folder(
        listing, preprocessing.form, Reading(threads, options.max_pixels, skip_bad=options.skip_bad)
    )
    return _dataset(source, source.splits, preprocessing, source.fingerprint)


def pixel_statistics(samples: NDArray[np.generic], indices: NDArray[np.int64]) -> tuple[tuple[float, ...], ...]:
    """Mean and standard deviation of each channel, for pixels scaled to 0..1, over some samples (N, C, H, W).

    Exact, from the histogram of the 256 values. A constant channel gets the deviation of one gray level.
    """
    channels = samples.shape[1]
    counts = np.zeros((channels, 256))
    step = max(1, _CHUNK_BYTES // samples[0].nbytes)
    for start in range(0, len(indices), step):
        chunk = samples[indices[start : start + step]]
        for channel in range(channels):
            counts[channel] += np.bincount(chunk[:, channel].ravel(), minlength=256)
    levels = np.arange(256) / 255
    weights = counts / counts.sum(axis=1, keepdims=True)
    mean = weights @ levels
    deviation = np.sqrt((weights * (levels - mean[:, None]) ** 2).sum(axis=1))
    return tuple(mean.tolist()), tuple(np.maximum(deviation, 1 / 255).tolist())


def _training_images(options: DataOptions, kind: Kind, seed: int, threads: int) -> DataSet:
    resize = options.resize
    if kind == "named":
        source = named.load_named(options.data, data_root=options.data_root, offline=options.offline)
        fingerprint = f"named:{options.data}"
    else:
        listing, shape = _listed(options)
        source = folder.read_folder(listing, shape, Reading(threads, options.max_pixels, skip_bad=options.skip_bad))
        fingerprint = source.fingerprint
    parts = _split(source, options, seed)
    channels, height, width = source.samples.shape[1:]
    if options.normalize == "standard":
        mean, std = pixel_statistics(source.samples, parts["train"])
    else:
        middle, reach = (0.5, 0.5) if options.normalize == "symmetric" else (0.0, 1.0)
        mean, std = (middle,) * channels, (reach,) * channels
    return _dataset(source, parts, ImagePreprocessing(channels, height, width, resize, mean, std), fingerprint)


def image_form(options: DataOptions) -> tuple[tuple[int, int, int], int]:
    """The shape (C, H, W) of the images of a training run, and how many classes they have; none is decoded."""
    if kind_of(options.data) == "folder":
        listing, shape = _listed(options)
        return shape.dimensions, len(listing.classes)
    source = named.load_named(options.data, data_root=options.data_root, offline=options.offline)
    channels, height, width = source.samples.shape[1:]
    return (channels, height, width), len(source.classes)


def _extracted(samples: NDArray[np.generic], extraction: Extraction, poll: Callable[[], None]) -> NDArray[np.float32]:
    """Features of images in memory."""
    rows = np.empty((len(samples), extraction.width), np.float32)
    with output.progress("images") as bar:
        for start in range(0, len(samples), extraction.batch):
            poll()
            pixels = np.asarray(samples[start : start + extraction.batch], np.uint8)
            numbers = [f"{start + i:x}" for i in range(len(pixels))]
            rows[start : start + len(pixels)] = extraction.run(pixels, numbers)
            bar.update((start + len(pixels)) / len(samples))
    return rows


def _listed(options: DataOptions) -> tuple[folder.Listing, ImageShape]:
    """A folder's images and their form."""
    listing = folder.list_folder(user_path(options.data))
    _check_classes(str(listing.root), listing.classes)
    shape = folder.choose_shape(
        listing, size=options.size, resize=options.resize, color=options.color, max_pixels=options.max_pixels
    )
    return listing, shape


def _training_table(options: DataOptions, seed: int) -> DataSet:
    path = user_path(options.data)
    cells = table.read_table(path)
    labels, classes = table.read_labels(cells, options.target)
    everything = {"all": np.arange(len(labels))}
    source = Source(str(path), np.empty(0), labels, classes, everything, _row_names(cells))
    parts = _split(source, options, seed)
    preprocessing = table.fit_preprocessing(cells, str(options.target), options.categorical, parts["train"])
    source = replace(source, samples=table.encode(cells, preprocessing))
    return _dataset(source, parts, preprocessing, cells.fingerprint)


def _table_for_model(path: Path, preprocessing: TablePreprocessing) -> DataSet:
    cells = table.read_table(path)
    labels, classes = table.read_labels(cells, preprocessing.target)
    samples = table.encode(cells, preprocessing)
    source = Source(str(path), samples, labels, classes, {"all": np.arange(len(labels))}, _row_names(cells))
    return _dataset(source, source.splits, preprocessing, cells.fingerprint)


def _named_for_model(data: str, options: SourceOptions, preprocessing: ImagePreprocessing) -> DataSet:
    source = named.load_named(data, data_root=options.data_root, offline=options.offline)
    have, need = ("x".join(map(str, shape)) for shape in (source.samples.shape[1:], preprocessing.shape))
    source = replace(source, samples=in_channels(source.samples, preprocessing.channels))
    if source.samples.shape[1:] != preprocessing.shape:
        raise InputError("--data", f"{data} has images of {have}, the model needs {need}", "give matching data")
    return _dataset(source, source.splits, preprocessing, f"named:{data}")


def _dataset(
    source: Source, parts: dict[str, NDArray[np.int64]], preprocessing: Preprocessing, fingerprint: str
) -> DataSet:
    return DataSet(
        source.name,
        source.samples,
        source.labels,
        source.classes,
        parts,
        preprocessing,
        fingerprint,
        source.files,
        source.bad_files,
    )


def _split(source: Source, options: DataOptions, seed: int) -> dict[str, NDArray[np.int64]]:
    if options.val_split is None:
        raise ValueError("val_split comes from the recipe")
    _check_classes(source.name, source.classes)
    return complete_splits(
        source.splits, source.labels, seed=seed, val_split=options.val_split, test_split=options.test_split
    )


def _check_classes(name: str, classes: tuple[str, ...]) -> None:
    if len(classes) < 2:  # noqa: PLR2004  # nothing to tell apart
        raise InputError("--data", f"{name} has only one class, '{classes[0]}'", "give two or more")


def _limited(dataset: DataSet, options: DataOptions, seed: int) -> DataSet:
    """The data of a run, checked, with no more training samples than asked for."""
    _check_trainable(dataset)
    train = limited(dataset.splits["train"], dataset.labels, options.limit, seed)
    return replace(dataset, splits=dataset.splits | {"train": train})


def _check_trainable(dataset: DataSet) -> None:
    missing = set(range(len(dataset.classes))) - set(dataset.labels[dataset.splits["train"]].tolist())
    if missing:
        names = ", ".join(dataset.classes[i] for i in sorted(missing)[:5])
        raise InputError("--data", f"no training sample of class {names}", "add samples, or make --val-split smaller")


def _is_table(preprocessing: Preprocessing) -> bool:
    return isinstance(preprocessing, TablePreprocessing)


def _row_names(cells: table.Table) -> tuple[str, ...]:
    return tuple(f"{cells.path}:{line}" for line in cells.lines)
