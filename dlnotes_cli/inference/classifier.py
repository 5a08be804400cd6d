"""What a command needs of a trained classifier, from a model file or from an ONNX file."""

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
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.model_data import ChosenSplit
from dlnotes_cli.training.model_metadata import Metadata


@dataclass(frozen=True, kw_only=True)
class Classifier(ABC):
    """A trained classifier, with its preprocessing, on the device where it runs."""

    reads_raw_rows: ClassVar[bool]  # whether its samples of a table are not standardized

    path: Path
    classes: tuple[str, ...]  # in the order of the outputs
    preprocessing: Preprocessing
    metadata: Metadata  # of the file; empty for a file of another program
    runtime: RuntimeInfo

    @abstractmethod
    def encode(self, table: Table, preprocessing: TablePreprocessing) -> NDArray[np.floating]:
        """The rows of a table as samples (N, F). Raises InputError naming line and column of an invalid cell."""

    @abstractmethod
    def probabilities(self, samples: NDArray[np.generic]) -> NDArray[np.float32]:
        """Probabilities (N, classes) of samples (N, ...). Raises InputError where they are not finite."""

    @abstractmethod
    def evaluate(
        self, dataset: DataSet, split: ChosenSplit, top: tuple[int, ...], poll: Callable[[], None], *,
        keep_predictions: bool,
    ) -> Evaluation:  # fmt: skip
        """The evaluation on a split of a data set; `poll` is called before each batch.

        `top` are the k for which samples are counted whose class is among the k most probable. With
        `keep_predictions` the evaluation has the prediction for each sample. Raises InputError where the loss is not
        finite.
        """


def check_tta(preprocessing: Preprocessing, *, is_set: bool) -> None:
    """Refuse `--tta` for a model that reads tables. Raises InputError."""
    if is_set and not isinstance(preprocessing, ImagePreprocessing):
        what = "the model reads tables, and only images can be shifted and mirrored"
        raise InputError("--tta", what, "drop --tta")
