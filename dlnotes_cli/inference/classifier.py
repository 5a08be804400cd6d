"""What commands need of a trained classifier, whatever file it comes from, and its evaluation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment_parser import is_flippable
from dlnotes_cli.data.preprocessing import ImagePreprocessing, Preprocessing, TablePreprocessing
from dlnotes_cli.data.table import Table
from dlnotes_cli.data.table_columns import encode, encode_raw
from dlnotes_cli.data.texts.labeled import TextDataSet
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.metrics import Evaluation, inference_batch_size, softmax
from dlnotes_cli.training.model_metadata import ChosenSplit, Metadata


@dataclass(frozen=True, kw_only=True)
class AnyClassifier(ABC):
    """A trained classifier, with its preprocessing, on the device where it runs."""

    path: Path
    classes: tuple[str, ...]  # in the order of the outputs
    preprocessing: Any
    metadata: Metadata  # of the file; empty for a file of another program
    runtime: RuntimeInfo
    similarity: Any = None  # a Similarity to the training samples, where the file has their features

    def probabilities_and_similarities(self, samples: Any) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
        """The probabilities of N samples, and how similar each is to the training samples (N,), where that is known."""
        return self.probabilities(samples), None

    @abstractmethod
    def compute(self, samples: Any) -> NDArray[np.floating]:
        """Probabilities (N, classes) of N samples, which may not be finite."""

    def probabilities(self, samples: Any) -> NDArray[np.floating]:
        """Probabilities (N, classes) of N samples. Raises InputError where they are not finite."""
        values = self.compute(samples)
        if not np.isfinite(values).all():
            fix = "train the model again with a lower --lr, or use fp32"
            raise InputError(self.path, "its outputs are not finite for this input", fix)
        return values

    def evaluate(
        self, dataset: DataSet | TextDataSet, split: ChosenSplit, top: tuple[int, ...], poll: Callable[[], None], *,
        keep_predictions: bool,
    ) -> Evaluation:  # fmt: skip
        """The evaluation on a split of a data set, as `evaluate_probabilities`."""
        samples = dataset.samples if isinstance(dataset, DataSet) else np.array(dataset.texts, object)
        return evaluate_probabilities(
            lambda indices: self.probabilities(samples[indices]), dataset.labels, split.indices,
            classes=len(self.classes), batch=inference_batch_size(samples.shape[1:]), top=top, poll=poll,
            keep_predictions=keep_predictions,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Classifier(AnyClassifier):
    """A classifier of images or of the rows of tables: its samples are arrays."""

    reads_raw_rows: ClassVar[bool] = False  # whether its samples of a table are not standardized

    preprocessing: Preprocessing
    tta: bool = False  # test-time augmentation

    def __post_init__(self) -> None:
        if self.tta and not isinstance(self.preprocessing, ImagePreprocessing):
            what = "the model reads tables, and only images can be shifted and mirrored"
            raise InputError("--tta", what, "drop --tta")

    def encode(self, table: Table, preprocessing: TablePreprocessing) -> NDArray[np.floating]:
        """The rows of a table as samples (N, F). Raises InputError naming line and column of an invalid cell."""
        return encode_raw(table, preprocessing) if self.reads_raw_rows else encode(table, preprocessing)

    def probabilities(self, samples: NDArray[np.generic]) -> NDArray[np.floating]:
        """Probabilities (N, classes) of samples (N, ...), with `tta` of images (N, C, H, W) and their variants.

        As in airbench (Jordan 2024, arXiv:2404.00498), the image has weight 1/2, and the image shifted by one pixel up
        and left and the one shifted down and right 1/4 each; each is averaged with its mirror image, unless that has
        another meaning, as of digits. Logits are averaged, not probabilities: a confident variant then counts for more.
        Logarithms of probabilities differ from logits by a constant per variant, which has no effect on the softmax.
        """
        if not self.tta:
            return super().probabilities(samples)
        height, width = samples.shape[2:]
        padded = np.pad(samples, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        views = [(0.5, samples), (0.25, padded[..., :height, :width]), (0.25, padded[..., 2:, 2:])]
        if is_flippable(self.classes):
            views = [(weight / 2, each) for weight, view in views for each in (view, view[..., ::-1])]
        plain = super().probabilities
        return softmax(np.sum([weight * _log(plain(view.copy())) for weight, view in views], axis=0))


def evaluate_probabilities(
    answer: Callable[[NDArray[np.int64]], NDArray[np.floating]],
    labels: NDArray[np.int64],
    indices: NDArray[np.int64],
    *,
    classes: int,
    batch: int,
    top: tuple[int, ...] = (),
    poll: Callable[[], None] = lambda: None,
    keep_predictions: bool = False,
) -> Evaluation:
    """The evaluation on the samples at `indices`, whose probabilities (n, classes) `answer` returns, batch by batch.

    A probability of 0 counts as the smallest one of its type. `top` are the k for which samples are counted whose class
    is among the k most probable; `poll` is called before each batch. With `keep_predictions` the evaluation has the
    prediction for each sample.
    """

    def batches() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        for start in range(0, len(indices), batch):
            poll()
            chosen = indices[start : start + batch]
            yield labels[chosen], _log(answer(chosen))

    return Evaluation.of(batches(), classes, top=top, keep_predictions=keep_predictions)


def _log(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithms in float64; that of 0, which is infinite, is that of the smallest number of its type."""
    smallest = np.finfo(probabilities.dtype).tiny
    return np.asarray(np.log(np.maximum(probabilities, smallest), dtype=np.float64))
