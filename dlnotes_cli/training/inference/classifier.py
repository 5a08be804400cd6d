"""What a command needs of a trained classifier, from a model file or from an ONNX file.

An ONNX file is opened without torch, which takes most of the time of a short command.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import Preprocessing, TablePreprocessing
from dlnotes_cli.data.table import Table
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.training.inference.options import ClassifierOptions
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.model_data import ChosenSplit
from dlnotes_cli.training.model_metadata import Metadata
from dlnotes_cli.training.onnx_file import is_onnx


class Classifier(Protocol):
    """A trained classifier, with its preprocessing, on the device where it runs."""

    @property
    def path(self) -> Path:
        """The file that it was read from."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the outputs."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How images or table rows become samples."""

    @property
    def metadata(self) -> Metadata:
        """The metadata of the file; empty for a file of another program."""

    @property
    def runtime(self) -> RuntimeInfo:
        """The device, precision and number of threads that it runs on."""

    @property
    def reads_raw_rows(self) -> bool:
        """Whether its samples of a table are not standardized."""

    def encode(self, table: Table, preprocessing: TablePreprocessing) -> NDArray[np.floating]:
        """The rows of a table as samples (N, F). Raises InputError naming line and column of an invalid cell."""

    def probabilities(self, samples: NDArray[np.generic]) -> NDArray[np.float32]:
        """Probabilities (N, classes) of samples (N, ...). Raises InputError where they are not finite."""

    def evaluate(
        self,
        dataset: DataSet,
        split: ChosenSplit,
        *,
        top: tuple[int, ...] = (),
        keep_predictions: bool = False,
        poll: Callable[[], None] = lambda: None,
    ) -> Evaluation:
        """The evaluation on a split of a data set; `poll` is called before each batch.

        `top` are the k for which samples are counted whose class is among the k most probable. With
        `keep_predictions` the evaluation has the prediction for each sample. Raises InputError where the loss is not
        finite.
        """


def open_classifier(options: ClassifierOptions) -> Classifier:
    """The classifier that the options name, in evaluation mode.

    Raises InputError for a file that cannot be used, and for options that do not apply to it.
    """
    if is_onnx(options.model):
        from dlnotes_cli.training.inference.onnx_classifier import open_onnx_classifier

        return open_onnx_classifier(options)
    options.check_for_model_file()
    from dlnotes_cli.training.inference.torch_classifier import open_torch_classifier

    return open_torch_classifier(options)
