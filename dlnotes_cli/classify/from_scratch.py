"""Training from scratch: what `train-mlp` and `train-cnn` share."""

from abc import ABC
from typing import TypeVar

from torch import nn

from dlnotes_cli.classify.options import TrainCnnConfig, TrainMlpConfig
from dlnotes_cli.classify.recipes import ScratchRecipe
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.load import load_training_data
from dlnotes_cli.training.engine.classifier import ClassifierTraining
from dlnotes_cli.training.initial_model import start_from
from dlnotes_cli.training.record import ClassifierResult
from dlnotes_cli.training.run_folder import has_checkpoint

Options = TypeVar("Options", TrainMlpConfig, TrainCnnConfig)
AnyRecipe = TypeVar("AnyRecipe", bound=ScratchRecipe)


class ScratchTraining(ClassifierTraining[Options, AnyRecipe, nn.Sequential, ClassifierResult], ABC):
    """The training of a network without pretrained weights, on data in its own scale."""

    result_type = ClassifierResult

    @property
    def init_seed(self) -> int:
        """The seed of the initial weights."""
        return self.options.seed if self.options.init_seed is None else self.options.init_seed

    def load(self) -> DataSet:
        """The data, split, with the preprocessing that `--normalize` names."""
        threads = self.options.thread_count
        return load_training_data(self.options, self.split_rule, self.recipe.normalize, threads=threads)

    def start_from(self, network: nn.Sequential, dataset: DataSet) -> None:
        """Copy the weights of `--init-from`, if any, unless a checkpoint has the weights of this run.

        Raises InputError for a model of another architecture.
        """
        options = self.options
        if options.init_from is not None and not has_checkpoint(options):
            start_from(options.init_from, network, self.model_name, dataset, options.seed)

    def complete(self, result: ClassifierResult, network: nn.Sequential) -> ClassifierResult:  # noqa: ARG002
        """The result of a run, which has the fields of every classifier."""
        return result
