"""Load the data that `--data` names, a named set, image folder or CSV table, for training or for a trained model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data import table, table_columns
from dlnotes_cli.data.dataset import (
    DataSet,
    LabeledSamples,
    SplitRule,
    check_classes,
    check_known,
    check_trained,
    complete_splits,
    limited,
    splits_of,
)
from dlnotes_cli.data.folder import DecodeSettings, FeatureExtractor, choose_shape, read_folder
from dlnotes_cli.data.labels import list_data, listing_of
from dlnotes_cli.data.listing import FolderListing, renamed, with_class_names
from dlnotes_cli.data.named_sets import load_named, locate
from dlnotes_cli.data.options import DatasetOptions, LabelColumns, Normalization, ReadOptions
from dlnotes_cli.data.paths import DataKind, kind_of
from dlnotes_cli.data.preprocessing import ImagePreprocessing, ImageShape, Preprocessing, TablePreprocessing
from dlnotes_cli.data.published import NAMED
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path

Splits = dict[str, NDArray[np.int64]]
_CHUNK_BYTES = 1 << 23  # of samples per step of a statistic


def load_training_data(options: DatasetOptions, rule: SplitRule, normalize: Normalization, *, threads: int) -> DataSet:
    """Load, split and preprocess the data of a training run; tables are always standardized."""
    kind = _kind(options.data, options.labels)
    if kind == "table":
        return _training_table(options, rule)
    if kind == "named":
        source = _named(options.data, options)
    else:
        settings = DecodeSettings(threads, options.max_pixels, skip_bad=options.skip_bad)
        source = read_folder(*_listed(options), settings)
    splits = _split(source, rule)
    channels, height, width = source.samples.shape[1:]
    if normalize == "standard":
        mean, std = pixel_statistics(source.samples, splits["train"])
    else:
        center, scale = (0.5, 0.5) if normalize == "symmetric" else (0.0, 1.0)
        mean, std = (center,) * channels, (scale,) * channels
    preprocessing = ImagePreprocessing(channels, height, width, options.resize, mean, std)
    return _dataset(source, splits, preprocessing, rule)


def load_preprocessed(
    options: DatasetOptions,
    preprocessing: ImagePreprocessing,
    rule: SplitRule,
    settings: DecodeSettings,
    extractor: FeatureExtractor | None = None,
) -> DataSet:
    """Load and split images with the preprocessing of a pretrained network; named sets keep their own size.

    With an `extractor` the samples are features, float32 (N, F). Those of a folder are cached, so that the next run
    reads only changed images; those of a named set are computed each time, and `images` keeps its pixels.
    """
    if _kind(options.data, options.labels) == "folder":
        listing = _named_listing(options)
        source = read_folder(listing, preprocessing.image_shape, settings, extractor)
        return _dataset(source, _split(source, rule), preprocessing, rule)
    source = _named(options.data, options)
    height, width = source.samples.shape[2:]
    preprocessing = replace(preprocessing, height=height, width=width, crop_pct=1.0)
    dataset = _dataset(source, _split(source, rule), preprocessing, rule)
    if extractor is None:
        return replace(dataset, samples=with_channels(source.samples, preprocessing.channels))
    dataset = replace(dataset, images=np.asarray(source.samples, np.uint8))
    used = np.sort(np.concatenate(list(dataset.splits.values())))
    features = np.zeros((len(source.labels), extractor.width), np.float32)
    features[used] = extract_features(named_images(dataset, used), extractor, settings.poll)
    return replace(dataset, samples=features)


def load_view(
    options: DatasetOptions,
    dataset: DataSet,
    preprocessing: ImagePreprocessing,
    settings: DecodeSettings,
    extractor: FeatureExtractor,
) -> NDArray[np.float32]:
    """Features (n, F) of the training split of a data set from `load_preprocessed`, in its order, by an `extractor`."""
    indices = dataset.splits["train"]
    if dataset.files:
        listing = listing_of(options).only({dataset.files[i] for i in indices})
        return np.asarray(read_folder(listing, preprocessing.image_shape, settings, extractor).samples)
    return extract_features(named_images(dataset, indices), extractor, settings.poll)


def named_images(dataset: DataSet, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Images (n, C, H, W) of a named set whose samples are features, in the channels of its preprocessing."""
    if dataset.images is None:
        raise ValueError("only a named set with features keeps its images")
    return np.asarray(with_channels(dataset.images[indices], dataset.preprocessing.shape[0]), np.uint8)


def check_images(options: DatasetOptions, reader: str) -> None:
    """Raise InputError if the data is a table, which `reader` cannot train on."""
    if _kind(options.data, options.labels) == "table":
        what = f"{options.data} is a table, and {reader} needs images"
        raise InputError("--data", what, "use train-mlp, or --image-column if the table lists images")


def has_test_split(options: DatasetOptions) -> bool:
    """Whether images will have a test split; named sets have one, and a folder without splits is split."""
    if _kind(options.data, options.labels) != "folder":
        return True
    return bool({"all", "test"} & set(listing_of(options).splits))


def with_channels(samples: NDArray[np.generic], channels: int) -> NDArray[np.generic]:
    """Repeat gray images (N, 1, H, W) over `channels`; other images are returned unchanged."""
    return np.repeat(samples, channels, axis=1) if samples.shape[1] == 1 < channels else samples


def load_for_model(
    data: str,
    options: ReadOptions,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
    *,
    threads: int,
    raw: bool = False,
    folders: Mapping[str, str] | None = None,
    labels: LabelColumns | None = None,
) -> DataSet:
    """Load data with the preprocessing of a trained model; the splits are those that the data itself names.

    Labels are indices into the model's `classes`. With `raw` the rows of a table are float64 and not standardized, as
    exported models read them. `folders` are the names that a model was trained with, by class folder; `labels` are the
    columns of a list of images. Raises InputError for another class, before images are decoded.
    """
    kind = _kind(data, labels)
    have, need = ("a CSV table" if one == "table" else "images" for one in (kind, preprocessing.kind))
    if have != need:
        raise InputError("--data", f"{data} holds {have}, but the model was trained on {need}", f"give {need}")
    if isinstance(preprocessing, TablePreprocessing):
        cells = table.read_table(user_path(data))
        source = _labeled(cells, preprocessing.target)
        check_known(source.classes, classes)
        encode = table_columns.encode_raw if raw else table_columns.encode
        source = replace(source, samples=encode(cells, preprocessing))
    elif kind == "named":
        source = _named_for_model(data, options, preprocessing, classes)
    else:
        listing = renamed(list_data(data, labels), folders or {})
        check_known(listing.classes, classes)
        settings = DecodeSettings(threads, options.max_pixels, skip_bad=options.skip_bad)
        source = read_folder(listing, preprocessing.image_shape, settings)
    check_known([source.classes[i] for i in np.unique(source.labels)], classes)
    positions = np.array([classes.index(name) if name in classes else -1 for name in source.classes])
    source = replace(source, labels=positions[source.labels])
    return _dataset(source, source.splits, preprocessing)


def pixel_statistics(samples: NDArray[np.generic], indices: NDArray[np.int64]) -> tuple[tuple[float, ...], ...]:
    """Mean and standard deviation of each channel of samples (N, C, H, W) at `indices`, for pixels scaled to 0..1.

    Exact, from the histogram of the 256 values. A constant channel has the standard deviation 1/255.
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


@dataclass(frozen=True)
class TrainingSize:
    """What a network has to fit: shape (C, H, W) and number of the training images, and the number of classes."""

    shape: tuple[int, ...]
    classes: int
    count: int

    @classmethod
    def of(cls, dataset: DataSet) -> "TrainingSize":
        """Those of a data set of images."""
        return cls(dataset.preprocessing.shape, len(dataset.classes), dataset.counts["train"])


def training_size(options: DatasetOptions, rule: SplitRule) -> TrainingSize:
    """What the network of a training run has to fit; decodes no image of a folder."""
    if _kind(options.data, options.labels) == "folder":
        listing, image_shape = _listed(options)
        shape, classes, labels = image_shape.dimensions, listing.classes, np.array(listing.labels)
        splits, files = splits_of(listing.splits), [listing.path(i) for i in range(len(labels))]
    else:
        source = _named(options.data, options)
        channels, height, width = source.samples.shape[1:]
        shape, classes, labels, splits = (channels, height, width), source.classes, source.labels, source.splits
        files = []
    completed = complete_splits(splits, labels, rule, files)
    return TrainingSize(shape, len(classes), min(len(completed["train"]), rule.limit or len(labels)))


def extract_features(
    samples: NDArray[np.uint8], extractor: FeatureExtractor, poll: Callable[[], None] = lambda: None
) -> NDArray[np.float32]:
    """Features (n, F) of images in memory; the seed of an image is its position."""
    features = np.empty((len(samples), extractor.width), np.float32)
    with output.progress("images") as bar:
        for start in range(0, len(samples), extractor.batch):
            poll()
            pixels = samples[start : start + extractor.batch]
            stop = start + len(pixels)
            features[start:stop] = extractor.run(pixels, range(start, stop))
            bar.update(stop / len(samples))
    return features


def _kind(data: str, labels: LabelColumns | None) -> DataKind:
    """As `kind_of`; a table that lists images is read as a folder is."""
    kind = kind_of(data)
    return "folder" if kind == "table" and labels is not None else kind


def _listed(options: DatasetOptions) -> tuple[FolderListing, ImageShape]:
    """The images of a folder, and the shape to decode them to."""
    listing = _named_listing(options)
    shape = choose_shape(
        listing, size=options.size, resize=options.resize, color=options.color, max_pixels=options.max_pixels
    )
    return listing, shape


def _named_listing(options: DatasetOptions) -> FolderListing:
    """The images of a folder of two or more classes, which have the names of `--class-names`."""
    listing = listing_of(options)
    check_classes(options.data, listing.classes)
    return with_class_names(listing, options.class_names)


def _training_table(options: DatasetOptions, rule: SplitRule) -> DataSet:
    cells = table.read_table(user_path(options.data))
    if options.missing == "drop":
        cells = table_columns.without_missing(cells, {options.target, options.group_column}, options.categorical)
    source = _labeled(cells, options.target)
    splits = _split(source, rule)
    target, categorical = str(options.target), options.categorical
    preprocessing = table_columns.fit_preprocessing(
        cells, target, categorical, splits["train"], options.missing, options.group_column
    )
    source = replace(source, samples=table_columns.encode(cells, preprocessing))
    return _dataset(source, splits, preprocessing, rule)


def _labeled(cells: table.Table, target: str | None) -> LabeledSamples:
    """The rows of a table, without samples yet."""
    labels, classes = table_columns.read_labels(cells, target)
    rows = tuple(f"{cells.path}:{line}" for line in cells.lines)
    splits = {"all": np.arange(len(labels))}
    return LabeledSamples(str(cells.path), np.empty(0), labels, classes, splits, rows, fingerprint=cells.fingerprint)


def _named(name: str, options: ReadOptions) -> LabeledSamples:
    return load_named(name, data_root=options.data_root, offline=options.offline)


def _named_for_model(
    data: str, options: ReadOptions, preprocessing: ImagePreprocessing, known: tuple[str, ...]
) -> LabeledSamples:
    """The samples of a named set in the model's shape; a set that does not fit is refused before it is downloaded."""
    published = NAMED[data]
    channels = preprocessing.channels if published.shape[0] == 1 else published.shape[0]
    if (channels, *published.shape[1:]) != preprocessing.shape:
        have, need = ("x".join(map(str, shape)) for shape in (published.shape, preprocessing.shape))
        raise InputError("--data", f"{data} has images of {have}, but the model needs {need}", "give matching data")
    if locate(data, options.data_root) is None:
        check_known(published.classes, known)
    source = _named(data, options)
    return replace(source, samples=with_channels(source.samples, preprocessing.channels))


def _split(source: LabeledSamples, rule: SplitRule) -> Splits:
    check_classes(source.name, source.classes)
    return complete_splits(source.splits, source.labels, rule, source.files)


def _dataset(
    source: LabeledSamples, splits: Splits, preprocessing: Preprocessing, rule: SplitRule | None = None
) -> DataSet:
    """The data set; with a rule each class needs a training sample, and there are at most `--limit`."""
    if rule is not None:
        check_trained(source.classes, source.labels[splits["train"]])
        splits = splits | {"train": limited(splits["train"], source.labels, rule.limit, rule.seed)}
    return DataSet(**vars(source) | {"splits": splits, "preprocessing": preprocessing})
