"""The samples on which an exported classifier is compared with its model file."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.data.dataset import limited
from dlnotes_cli.data.images.decode import decode_memory, open_image
from dlnotes_cli.data.images.image_io import sample_image
from dlnotes_cli.data.load import load_for_model
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TablePreprocessing
from dlnotes_cli.data.texts.preprocessing import SequencePreprocessing
from dlnotes_cli.export.options import DEFAULT_SAMPLES, ExportConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_file import TextModel, TrainedModel
from dlnotes_cli.training.model_metadata import (
    choose_split,
    class_folders,
    label_columns,
    split_as_in_training,
    training_data,
)

_EXAMPLE_IMAGES = ("china.jpg", "flower.jpg")
_SMALLEST_CROP = 16  # pixels per side
_TEXTS, _TOKENS = 16, 32  # of the check of a classifier of texts


class CheckSamples(NamedTuple):
    """Samples as an exported classifier reads them, where they are from, and their labels, if these are known."""

    name: str
    samples: NDArray[Any]  # uint8 (N, C, H, W), or float64 (N, F); of texts int64 (N, T), or float64 (N, F)
    labels: NDArray[np.int64] | None = None  # (N,)


def choose_samples(config: ExportConfig, model: TrainedModel | TextModel) -> CheckSamples:
    """The samples of `--data`, by default the test split of the training; where that is unavailable, examples.

    Raises InputError for `--data` that cannot be read or does not fit the model.
    """
    if isinstance(model, TextModel):
        return _random_texts(model, config.samples or _TEXTS)
    if config.data is not None:
        return _of_data(config, model, config.data)
    try:
        return _of_data(config, model, training_data(model.metadata))
    except InputError as error:
        if config.time:
            what = f"needs labeled samples ({error.what})"
            raise InputError("--time", what, "pass --data with labeled data") from error
        count, preprocessing = config.samples or DEFAULT_SAMPLES, model.preprocessing
        if isinstance(preprocessing, TablePreprocessing):
            chosen = _random_rows(preprocessing, count)
        else:
            chosen = _crops(preprocessing, count)
        output.note(f"the check uses {chosen.name}, as the training data is unavailable ({error.what})")
        return chosen


def _of_data(config: ExportConfig, model: TrainedModel, data: str) -> CheckSamples:
    dataset = load_for_model(
        data, config, model.preprocessing, model.classes, threads=config.threads or default_threads(), raw=True,
        folders=class_folders(model.metadata), labels=label_columns(model.metadata),
    )  # fmt: skip
    dataset = split_as_in_training(data, dataset, model.metadata)
    name, indices = choose_split(dataset)
    count = config.samples or (None if config.time else DEFAULT_SAMPLES)
    chosen = limited(indices, dataset.labels, count, seed=0)
    label = f"{data}, all samples" if name == "all" else f"the {name} split of {data}"
    return CheckSamples(label, np.asarray(dataset.samples[chosen]), dataset.labels[chosen])


def _random_texts(model: TextModel, count: int) -> CheckSamples:
    """Tokens, or features of texts, for the network."""
    generator, preprocessing = np.random.default_rng(0), model.preprocessing
    if isinstance(preprocessing, SequencePreprocessing):
        shape = count, min(preprocessing.max_length, _TOKENS)
        return CheckSamples("texts drawn at random", generator.integers(1, max(preprocessing.vocabulary, 2), shape))
    return CheckSamples("texts drawn at random", generator.random((count, preprocessing.features)))


def _random_rows(preprocessing: TablePreprocessing, count: int) -> CheckSamples:
    """Rows (N, F) with normally distributed numbers, as the training rows have them, and random categories."""
    generator, blocks = np.random.default_rng(0), list[NDArray[Any]]()
    for column in preprocessing.columns:
        if column.categories:
            blocks.append(np.eye(len(column.categories))[generator.integers(len(column.categories), size=count)])
        else:
            blocks.append(generator.normal(column.mean, column.std, (count, 1)))
            blocks.append(generator.integers(2, size=(count, column.width - 1)))  # whether a value is missing
    return CheckSamples("rows drawn at random", np.concatenate(blocks, axis=1, dtype=np.float64))


def _crops(preprocessing: ImagePreprocessing, count: int) -> CheckSamples:
    """Images (N, C, H, W): squares of random size and place in two photos of scikit-learn."""
    generator, photos, crops = np.random.default_rng(0), list[Image.Image](), []
    for name in _EXAMPLE_IMAGES:
        with open_image(sample_image(name, "--data"), 1 << 24) as image:
            photos.append(image.convert("RGB"))
    for i in range(count):
        photo = photos[i % len(photos)]
        side = int(generator.integers(_SMALLEST_CROP, min(photo.size) + 1))
        left, top = (int(generator.integers(length - side + 1)) for length in photo.size)
        crop = photo.crop((left, top, left + side, top + side))
        crops.append(decode_memory(f"crop {i}", crop, preprocessing.image_shape))
    return CheckSamples("crops of example photos", np.stack(crops))
