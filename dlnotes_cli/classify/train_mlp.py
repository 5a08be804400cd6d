"""The training of a multi-layer perceptron."""

import math

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import nn

from dlnotes_cli.classify.from_scratch import ScratchTask, best_restart
from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.classify.recipes import SMALL_TABLE_LINES
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.networks.choices import parse_init
from dlnotes_cli.networks.mlp import MlpConfig, bf16_pays
from dlnotes_cli.networks.registry import initialize
from dlnotes_cli.shell import output
from dlnotes_cli.training.boundary import check_beside
from dlnotes_cli.training.distributed import process_group
from dlnotes_cli.training.fit import fit
from dlnotes_cli.training.head_fit import HeadOptions, fit_heads
from dlnotes_cli.training.model_file import load_classifier
from dlnotes_cli.training.results import ClassifierResult, RunProgress
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.training.task import Evaluated, Poll


def train_mlp(options: TrainMlpConfig) -> ClassifierResult:
    """Train a multi-layer perceptron on images or a table, test it and write its run folder.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    with process_group(options) as processes:
        return best_restart(options, lambda restart: fit(MlpTask(restart, restart.resolved(), processes)))


class MlpTask(ScratchTask):
    """The training of a multi-layer perceptron."""

    model_name = "mlp"
    memory_options = "--hidden or --batch-size"
    options: TrainMlpConfig

    def load_dataset(self) -> DataSet:
        """The data, after a check that the runs of `--beside` have the same columns and classes."""
        dataset = super().load_dataset()
        models = map(load_classifier, self.options.beside)
        self.beside = tuple(check_beside("--beside", model, dataset) for model in models)
        return dataset

    def configure(self, dataset: DataSet) -> MlpConfig:
        """The configuration of the network for a data set."""
        return MlpConfig(
            inputs=math.prod(dataset.preprocessing.shape),
            classes=len(dataset.classes),
            hidden=self.recipe.hidden,
            activation=self.options.activation,
            dropout=self.recipe.dropout,
            batch_norm=self.recipe.batch_norm,
        )

    def initialize(self, network: nn.Module) -> None:
        """Apply the initialization that `--init` names, then the weights of `--init-from`."""
        initialize(network, parse_init(self.options.init))
        self.start_from(network)

    def finish(self, folder: RunFolder, progress: RunProgress, poll: Poll) -> Evaluated:
        """Evaluate and draw; a note says where a linear model predicts the rows of a small table better."""
        evaluated, dataset = super().finish(folder, progress, poll), self.dataset
        is_small_table = dataset.samples.ndim == 2 and len(dataset.samples) < SMALL_TABLE_LINES  # noqa: PLR2004
        if is_small_table and self.recipe.hidden and evaluated.test is not None:
            loss, found = _linear_test_loss(dataset), evaluated.test.loss
            if loss < found:
                what = f"logistic regression has a lower test loss, {loss:.4f}, than this network, {found:.4f}"
                output.note(f"{what}; --hidden '' trains a linear model")
        return evaluated

    def bf16_pays(self, batch_size: int) -> bool:
        """Whether bf16 is faster for this network: it is for wide layers and large batches."""
        return bf16_pays(self.network_config, batch_size)


def _linear_test_loss(dataset: DataSet) -> float:
    """The test loss of logistic regression, whose weight decay is 1 / N for N training rows."""
    rows, labels = torch.from_numpy(dataset.samples), torch.from_numpy(dataset.labels)
    train, test = dataset.splits["train"], dataset.splits["test"]
    options = HeadOptions(len(dataset.classes))
    (fitted,) = fit_heads(rows[train], labels[train], options, weight_decays=(1 / len(train),))
    with torch.no_grad():
        return float(F.cross_entropy(fitted.head(rows[test]), labels[test]))
