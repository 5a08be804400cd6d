"""A classifier from a model file, which runs in torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.batches import Normalizer, splits_on_device
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment_parser import is_flippable
from dlnotes_cli.data.preprocessing import Preprocessing, TablePreprocessing
from dlnotes_cli.data.table import Table, encode
from dlnotes_cli.device import Runtime, RuntimeInfo
from dlnotes_cli.training.course_checkpoint import load_any_classifier
from dlnotes_cli.training.evaluation import evaluate, predict_logits
from dlnotes_cli.training.inference.options import ClassifierOptions
from dlnotes_cli.training.inference.tta import TtaNetwork
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.model_data import ChosenSplit
from dlnotes_cli.training.model_file import TrainedModel, check_finite, runtime_for_model
from dlnotes_cli.training.model_metadata import Metadata


@dataclass(frozen=True)
class TorchClassifier:
    """A classifier from a model file; see `Classifier` for its methods."""

    model: TrainedModel
    network: nn.Module  # on its device, with test-time augmentation if that was asked for
    torch_runtime: Runtime
    reads_raw_rows: bool = False

    @property
    def path(self) -> Path:
        """The model file."""
        return self.model.path

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the outputs."""
        return self.model.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """How images or table rows become samples."""
        return self.model.preprocessing

    @property
    def metadata(self) -> Metadata:
        """The metadata of the model file."""
        return self.model.metadata

    @property
    def runtime(self) -> RuntimeInfo:
        """The device, precision and number of threads that it runs on."""
        return self.torch_runtime.info

    def encode(self, table: Table, preprocessing: TablePreprocessing) -> NDArray[np.float32]:
        """Rows as samples (N, F), standardized. Raises InputError naming line and column of an invalid cell."""
        return encode(table, preprocessing)

    @torch.no_grad()
    def probabilities(self, samples: NDArray[np.generic]) -> NDArray[np.float32]:
        """Probabilities (N, classes) of samples (N, ...). Raises InputError where they are not finite."""
        x = self._normalizer(torch.from_numpy(samples).to(self.torch_runtime.device))
        probabilities = predict_logits(self.network, x, self.torch_runtime).softmax(1)
        check_finite(self.path, probabilities)
        return np.asarray(probabilities.cpu().numpy())

    def evaluate(
        self,
        dataset: DataSet,
        split: ChosenSplit,
        *,
        top: tuple[int, ...] = (),
        keep_predictions: bool = False,
        poll: Callable[[], None] = lambda: None,
    ) -> Evaluation:
        """The evaluation on a split of a data set. Raises InputError where the loss is not finite."""
        only = replace(dataset, splits={split.name: split.indices})
        evaluation = evaluate(
            self.network, splits_on_device(only, self.torch_runtime.device)[split.name], self._normalizer,
            self.torch_runtime, classes=len(self.classes), top=top, keep_predictions=keep_predictions, poll=poll,
        )  # fmt: skip
        check_finite(self.path, torch.tensor(evaluation.loss))
        return evaluation

    @property
    def _normalizer(self) -> Normalizer:
        return Normalizer(self.preprocessing, self.torch_runtime.device)


def open_torch_classifier(options: ClassifierOptions) -> TorchClassifier:
    """The classifier in a model file, on its device. Raises InputError as `load_any_classifier` does."""
    model = load_any_classifier(options.model, options.arch)
    runtime = runtime_for_model(model.metadata, options)
    network = model.network.to(runtime.device)
    options.check_tta(model.preprocessing)
    if options.tta:
        network = TtaNetwork(network, mirror=is_flippable(model.classes))
    return TorchClassifier(model, network, runtime)
