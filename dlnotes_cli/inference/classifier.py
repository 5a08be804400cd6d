"""What a command needs of a trained classifier, from a model file or from an ONNX file, and its evaluation."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import ImagePreprocessing, Preprocessing, TablePreprocessing
from dlnotes_cli.data.table import Table
from dlnotes_cli.data.table_columns import encode, encode_raw
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.metrics import Evaluation, Predictions, inference_batch_size
from dlnotes_cli.training.model_metadata import ChosenSplit, Metadata

SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 in float32 has an infinite logarithm


@dataclass(frozen=True, kw_only=True)
class Classifier(ABC):
    """A trained classifier, with its preprocessing, on the device where it runs."""

    reads_raw_rows: ClassVar[bool]  # whether its samples of a table are not standardized

    path: Path
    classes: tuple[str, ...]  # in the order of the outputs
    preprocessing: Preprocessing
    metadata: Metadata  # of the file; empty for a file of another program
    runtime: RuntimeInfo

    def encode(self, table: Table, preprocessing: TablePreprocessing) -> NDArray[np.floating]:
        """The rows of a table as samples (N, F). Raises InputError naming line and column of an invalid cell."""
        return encode_raw(table, preprocessing) if self.reads_raw_rows else encode(table, preprocessing)

    @abstractmethod
    def probabilities(self, samples: NDArray[np.generic]) -> NDArray[np.float32]:
        """Probabilities (N, classes) of samples (N, ...). Raises InputError where they are not finite."""

    def evaluate(
        self, dataset: DataSet, split: ChosenSplit, top: tuple[int, ...], poll: Callable[[], None], *,
        keep_predictions: bool,
    ) -> Evaluation:  # fmt: skip
        """The evaluation on a split of a data set; `poll` is called before each batch.

        `top` are the k for which samples are counted whose class is among the k most probable. With
        `keep_predictions` the evaluation has the prediction for each sample. Raises InputError where outputs or loss
        are not finite.
        """
        return evaluate_probabilities(
            lambda indices: self.probabilities(dataset.samples[indices]), dataset.labels, split.indices,
            classes=len(self.classes), batch=inference_batch_size(dataset.samples.shape[1:]), top=top, poll=poll,
            keep_predictions=keep_predictions,
        )  # fmt: skip


def check_tta(preprocessing: Preprocessing, *, is_set: bool) -> None:
    """Refuse `--tta` for a model that reads tables. Raises InputError."""
    if is_set and not isinstance(preprocessing, ImagePreprocessing):
        what = "the model reads tables, and only images can be shifted and mirrored"
        raise InputError("--tta", what, "drop --tta")


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

    Probabilities below the smallest float32 count as that. `top` are the k for which samples are counted whose class
    is among the k most probable; `poll` is called before each batch. With `keep_predictions` the evaluation has the
    prediction for each sample.
    """
    losses: list[float] = []
    within_top = dict.fromkeys(top, 0)
    of_split = labels[indices]
    predicted, largest = np.zeros(len(indices), np.int64), np.zeros(len(indices), np.float32)
    for start in range(0, len(indices), batch):
        poll()
        rows = slice(start, start + batch)
        probabilities = answer(indices[rows])
        true = probabilities[np.arange(len(probabilities)), of_split[rows]]
        losses.append(-np.log(np.maximum(true, SMALLEST), dtype=np.float64).sum())
        for k in top:
            within_top[k] += int((_most_probable(probabilities, k) == of_split[rows, None]).sum())
        predicted[rows], largest[rows] = probabilities.argmax(1), probabilities.max(1)
    loss = math.fsum(losses) / len(indices) if len(indices) else math.nan
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (of_split, predicted), 1)
    predictions = Predictions(of_split, predicted, largest) if keep_predictions and len(indices) else None
    return Evaluation(loss, confusion, within_top, predictions)


def _most_probable(probabilities: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """The k most probable classes of each sample, (N, k), in no order."""
    return np.argpartition(probabilities, -k, axis=1)[:, -k:]
