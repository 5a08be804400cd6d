"""Training from scratch: what `train-mlp` and `train-cnn` share."""

from abc import ABC
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from torch import nn

from dlnotes_cli.classify.options import TrainCnnConfig, TrainMlpConfig
from dlnotes_cli.classify.recipes import ScratchRecipe
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.load import load_training_data
from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.training.classifier import ClassifierTask
from dlnotes_cli.training.distributed import ALONE, Processes
from dlnotes_cli.training.initial_model import start_from
from dlnotes_cli.training.results import ClassifierResult
from dlnotes_cli.training.run_folder import has_checkpoint

Options = TypeVar("Options", TrainMlpConfig, TrainCnnConfig)
ScratchResult = TypeVar("ScratchResult", bound=ClassifierResult)


class ScratchTask(ClassifierTask[ScratchResult], ABC):
    """The training of a network without pretrained weights, on data in its own scale."""

    options: TrainMlpConfig | TrainCnnConfig

    def __init__(
        self, options: TrainMlpConfig | TrainCnnConfig, recipe: ScratchRecipe, processes: Processes = ALONE
    ) -> None:
        super().__init__(options, recipe, processes)
        if options.init_seed is not None:
            self.initial_seed = options.init_seed

    def load_dataset(self) -> DataSet:
        """The data, split, with the preprocessing that `--normalize` names."""
        threads = self.options.threads or default_threads()
        return load_training_data(self.options, self.split_rule, self.recipe.normalize, threads=threads)

    def start_from(self, network: nn.Module) -> None:
        """Copy the weights of `--init-from`, if any, unless a checkpoint has the weights of this run.

        Raises InputError for a model of another architecture.
        """
        options = self.options
        if options.init_from is not None and not has_checkpoint(options):
            start_from(options.init_from, network, self.model_name, self.dataset, options.seed)


def best_restart(options: Options, train: Callable[[Options], ScratchResult]) -> ScratchResult:
    """Train once, or `--restarts` times in subfolders of `--out`; returns the result with the best validation loss.

    Data, splits and order are those of `--seed` in every restart; the initial weights have seeds of their own.
    """
    if options.restarts == 1 or options.out is None:  # the options require --out for restarts
        return train(options)
    results = []
    for i in range(options.restarts):
        output.status("restart", f"{i + 1} of {options.restarts}")
        folder = options.out / f"restart-{i + 1}"
        results.append(train(replace(options, restarts=1, init_seed=options.seed + i, out=folder)))
    losses = [result.validation.loss for result in results]
    best = results[losses.index(min(losses))]
    output.status("restarts", f"validation losses {', '.join(f'{loss:.4f}' for loss in losses)}; best {best.out}")
    return best
