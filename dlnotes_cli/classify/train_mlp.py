"""Training a multi-layer perceptron."""

import math
from typing import Any

from torch import nn

from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.load import kind_of
from dlnotes_cli.models.mlp import MlpConfig, bf16_pays, initialize
from dlnotes_cli.training.engine.classifier import Architecture, train_classifier
from dlnotes_cli.training.recipes import BEST_MLP, BEST_MLP_ON_TABLES, MLP_LENGTH, NOTES_MLP
from dlnotes_cli.training.record import TrainingResult


def train_mlp(config: TrainMlpConfig) -> TrainingResult:
    """Train an MLP on images or a table, test and document it in its run folder.

    Raises InputError before anything is written where options, folder or data are not right; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    return train_classifier(config, Architecture("mlp", _recipe, _describe, _initialize, bf16_pays, MLP_LENGTH))


def _recipe(config: TrainMlpConfig) -> dict[str, Any]:
    kind = kind_of(config.data)
    if config.recipe == "notes":
        return NOTES_MLP
    return BEST_MLP_ON_TABLES if kind == "table" else BEST_MLP


def _describe(config: TrainMlpConfig, dataset: DataSet) -> MlpConfig:
    return MlpConfig(
        inputs=math.prod(dataset.preprocessing.shape),
        classes=len(dataset.classes),
        hidden=config.hidden,
        activation=config.activation,
        dropout=float(config.dropout or 0.0),
        batch_norm=bool(config.batch_norm),
    )


def _initialize(network: nn.Module, config: TrainMlpConfig, _dataset: DataSet) -> None:
    initialize(network, config.init)
