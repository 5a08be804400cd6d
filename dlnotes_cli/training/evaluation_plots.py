"""The plots of an evaluation: confusion matrix and predictions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.confusion import draw_confusion
from dlnotes_cli.plots.images import PREDICTIONS_SHOWN, ShownPrediction, draw_predictions
from dlnotes_cli.shell import files
from dlnotes_cli.training.metrics import Evaluation, Predictions

ImageReader = Callable[[NDArray[np.int64]], NDArray[np.uint8]]  # positions in a split (n,) -> images (n, C, H, W)
_SPLITS = {"val": "validation split", "all": "all samples"}


def draw_evaluation(
    folder: Path, evaluation: Evaluation, classes: tuple[str, ...], images: ImageReader | None, split: tuple[str, str]
) -> list[Path]:
    """Write confusion.png and, for images, predictions.png into a folder; returns their paths.

    `images` reads the images of the evaluated split; None for tables. `split` are the names of the data and the split.
    """
    title = f"{split[0]}, {_SPLITS.get(split[1], f'{split[1]} split')}"
    contents = {"confusion.png": draw_confusion(evaluation.confusion, classes, title)}
    if images is not None and evaluation.predictions is not None:
        contents["predictions.png"] = _prediction_sheet(evaluation.predictions, classes, images, title)
    for name, content in contents.items():
        files.atomic_write(folder / name, content)
    return [folder / name for name in contents]


def image_reader(samples: NDArray[np.generic], indices: NDArray[np.int64]) -> ImageReader | None:
    """What reads the images of a split, the samples at `indices`; None if they are the rows of a table."""
    if samples.ndim != 4:  # noqa: PLR2004  # (N, C, H, W)
        return None
    return lambda positions: np.asarray(samples[indices[positions]], np.uint8)


def shown_positions(predictions: Predictions, count: int) -> NDArray[np.int64]:
    """The positions of up to `count` samples: of up to half as many mistakes, then of correct ones.

    The mistakes are the most confident ones, in falling order; the correct ones are evenly spaced.
    """
    mistakes = np.flatnonzero(~predictions.is_correct)
    order = np.argsort(-predictions.probabilities[mistakes], kind="stable")
    chosen = mistakes[order[: count // 2]]
    correct = np.flatnonzero(predictions.is_correct)
    return np.concatenate([chosen, correct[evenly_spaced(len(correct), count - len(chosen))]])


def evenly_spaced(total: int, count: int) -> list[int]:
    """Up to `count` positions in a sequence of `total` items, evenly spaced from the first one.

    >>> evenly_spaced(10, 4), evenly_spaced(2, 4)
    ([0, 2, 5, 7], [0, 1])
    """
    count = min(count, total)
    return [i * total // count for i in range(count)]


def _prediction_sheet(predictions: Predictions, classes: tuple[str, ...], images: ImageReader, title: str) -> bytes:
    """A PNG of some images with their predicted and true classes."""
    positions = shown_positions(predictions, PREDICTIONS_SHOWN)
    shown = [
        ShownPrediction(image, int(label), int(predicted), float(probability))
        for image, label, predicted, probability in zip(
            images(positions), predictions.labels[positions], predictions.predicted[positions],
            predictions.probabilities[positions], strict=True,
        )
    ]  # fmt: skip
    mistakes = int(np.count_nonzero(~predictions.is_correct))
    return draw_predictions(shown, classes, mistakes, len(predictions.labels), f"Predictions for {title}")
