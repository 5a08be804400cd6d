"""The samples on which an exported classifier is compared with its model file."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.data.images.decode import decode_memory, open_image
from dlnotes_cli.data.images.sample_images import sample_image
from dlnotes_cli.data.load import load_for_model
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TablePreprocessing
from dlnotes_cli.data.splits import limited
from dlnotes_cli.export.options import DEFAULT_SAMPLES, ExportConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_file import TrainedModel
from dlnotes_cli.training.model_metadata import choose_split, class_folders, split_as_in_training, training_data

_EXAMPLE_IMAGES = ("china.jpg", "flower.jpg")
_SMALLEST_CROP = 16  # pixels per side


@dataclass(frozen=True)
class CheckSamples:
    """Samples as an exported classifier reads them, and where they are from."""

    name: str
    samples: NDArray[np.generic]  # uint8 (N, C, H, W), or float64 (N, F)
    labels: NDArray[np.int64] | None  # (N,), where they are known


def choose_samples(config: ExportConfig, model: TrainedModel) -> CheckSamples:
    """The samples of `--data`, by default the test split of the training; where that is unavailable, examples.

    Raises InputError for `--data` that cannot be read or does not fit the model.
    """
    if config.data is not None:
        return _of_data(config, model, config.data)
    try:
        return _of_data(config, model, training_data(model.metadata))
    except InputError as error:
        if config.time:
            raise InputError(
                "--time", f"needs labeled samples ({error.what})", "pass --data with labeled data"
            ) from error
        examples = _examples(model, config.samples or DEFAULT_SAMPLES)
        output.note(f"the check uses {examples.name}, as the training data is unavailable ({error.what})")
        return examples


def _of_data(config: ExportConfig, model: TrainedModel, data: str) -> CheckSamples:
    dataset = load_for_model(
        data, config, model.preprocessing, model.classes, threads=config.threads or default_threads(), raw=True,
        folders=class_folders(model.metadata),
    )  # fmt: skip
    dataset = split_as_in_training(data, dataset, model.metadata)
    name, indices = choose_split(dataset)
    count = config.samples or (None if config.time else DEFAULT_SAMPLES)
    chosen = limited(indices, dataset.labels, count, seed=0)
    label = f"{data}, all samples" if name == "all" else f"the {name} split of {data}"
    return CheckSamples(label, np.asarray(dataset.samples[chosen]), dataset.labels[chosen])


def _examples(model: TrainedModel, count: int) -> CheckSamples:
    generator = np.random.default_rng(0)
    if isinstance(model.preprocessing, TablePreprocessing):
        return CheckSamples("rows drawn at random", _random_rows(model.preprocessing, count, generator), None)
    return CheckSamples("crops of example photos", _crops(model.preprocessing, count, generator), None)


def _random_rows(preprocessing: TablePreprocessing, count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Rows (N, F) with normally distributed numbers, as the training rows have them, and random categories."""
    blocks = []
    for column in preprocessing.columns:
        if column.categories:
            blocks.append(np.eye(len(column.categories))[generator.integers(len(column.categories), size=count)])
        else:
            blocks.append(generator.normal(column.mean, column.std, (count, 1)))
            blocks.append(
                generator.integers(2, size=(count, column.width - 1)).astype(np.float64)
            )  # whether a value is missing
    return np.concatenate(blocks, axis=1)


def _crops(preprocessing: ImagePreprocessing, count: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Images (N, C, H, W): squares of random size and place in two photos of scikit-learn."""
    photos = []
    for name in _EXAMPLE_IMAGES:
        path = sample_image(name, "--data")
        with open_image(path, 1 << 24) as image:
            photos.append(image.convert("RGB"))
    crops = [_crop(photos[i % len(photos)], generator) for i in range(count)]
    return np.stack([decode_memory(f"crop {i}", crop, preprocessing.image_shape) for i, crop in enumerate(crops)])


def _crop(photo: Image.Image, generator: np.random.Generator) -> Image.Image:
    side = int(generator.integers(_SMALLEST_CROP, min(photo.size) + 1))
    left, top = (int(generator.integers(length - side + 1)) for length in photo.size)
    return photo.crop((left, top, left + side, top + side))
