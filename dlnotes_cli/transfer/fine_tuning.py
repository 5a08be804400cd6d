"""Fine-tuning: the gradient training of a pretrained network, block by block, after its head is fitted."""

from dataclasses import replace
from typing import Any

from torch import nn

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.networks.backbones import BackboneConfig, TransferModel
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import StoppedError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.classifier import ClassifierTask
from dlnotes_cli.training.distributed import Processes
from dlnotes_cli.training.fit import fit
from dlnotes_cli.training.results import RunProgress
from dlnotes_cli.training.run_folder import has_checkpoint
from dlnotes_cli.transfer.frozen_head import FrozenHeadTask
from dlnotes_cli.transfer.head_search import FittedHead
from dlnotes_cli.transfer.options import FROZEN, FineTuneRecipe, TransferConfig
from dlnotes_cli.transfer.plan import TransferPlan, TransferResult


def fine_tune(plan: TransferPlan, recipe: FineTuneRecipe, processes: Processes) -> TransferResult:
    """Fit the head to the frozen backbone, then train the network; the course's recipe starts with a random head.

    Of several `processes` the main one fits the head, with which all start. Raises errors as `fit`.
    """
    options, fitted = plan.options, None
    if processes.is_main and not has_checkpoint(options) and options.recipe == "best":
        fitted = _fit_initial_head(plan, recipe.label_smoothing)
    result = fit(FineTuneTask(plan, recipe, processes, fitted))
    if fitted is not None:
        _warn_if_worse(fitted, result)
    return result


class FineTuneTask(ClassifierTask[TransferResult]):
    """The training of a pretrained network, from a head that is fitted to its features, or from a random one (None)."""

    model_name = "backbone"
    memory_options = "--backbone, --size or --batch-size"
    result_type = TransferResult
    options: TransferConfig
    network: TransferModel

    def __init__(
        self, plan: TransferPlan, recipe: FineTuneRecipe, processes: Processes, fitted: FittedHead | None
    ) -> None:
        super().__init__(plan.options, recipe, processes)
        self._plan, self._fitted = plan, fitted
        self.has_frozen_layers = plan.options.fine_tune != "all"

    def load_dataset(self) -> DataSet:
        """The data, split, preprocessed as the weights expect."""
        return self._plan.load(self._plan.decode_settings())

    def configure(self, dataset: DataSet) -> BackboneConfig:
        """The configuration of the network for a data set."""
        return self._plan.network_config(len(dataset.classes))

    def initialize(self, network: nn.Module) -> None:
        """Load the pretrained weights and the fitted head, and freeze the blocks that `--fine-tune` excludes."""
        if not isinstance(network, TransferModel):
            raise TypeError("a network of another kind than `model_name`")
        self._plan.load_weights(network)
        if self._fitted is not None:
            network.head.load_state_dict(self._fitted.head.state_dict())
        self._plan.unfreeze(network)
        trained = [layer for layer in self._plan.layers(network) if layer.trains]
        names = ", ".join(layer.name for layer in trained)
        output.status("training", f"{names}, {sum(layer.parameters for layer in trained):,} parameters")

    def lr_factors(self) -> dict[str, float]:
        """Factors on the learning rate by parameter name: lower for earlier blocks."""
        return self._plan.lr_factors(self.network)

    def start_epoch(self, epoch: int, epochs: int | None) -> None:
        """Unfreeze the blocks that train in an epoch, and freeze the others."""
        super().start_epoch(epoch, epochs)
        at_once = self.options.compile  # as PyTorch would compile the network again for each block, eight times at most
        self._plan.unfreeze(self.network, epoch, None if at_once else epochs)

    def extra_fields(self, progress: RunProgress) -> dict[str, Any]:
        """The fields of a classifier, and those that describe the backbone, its weights and its layers."""
        return super().extra_fields(progress) | self._plan.fields(self.network)


def _fit_initial_head(plan: TransferPlan, label_smoothing: float) -> FittedHead:
    """The head with which fine-tuning starts: fitted as to a frozen backbone, without the limits of the run."""
    unlimited = replace(plan, options=replace(plan.options, max_steps=None, time_budget=None))
    task = FrozenHeadTask(unlimited, replace(FROZEN, label_smoothing=label_smoothing))
    with StopRequest() as stop:
        try:
            task.load(stop.poll)
            task.solve(stop.poll)
        except StoppedError as request:
            what = "the features computed so far are cached; fine-tuning has not started"
            raise StoppedError(request.exit_code, what, "run the same command again to continue") from request
    return task.fitted


def _warn_if_worse(fitted: FittedHead, result: TransferResult) -> None:
    """Warn if the validation loss is higher than that of the frozen backbone with which the run started."""
    before, after = fitted.history[fitted.best_index].validation.loss, result.validation.loss
    if after > before:
        what = f"fine-tuning validates worse than the frozen backbone (loss {after:.4f}, before {before:.4f})"
        output.warn(f"{what}: use a lower --lr or more --epochs, or drop --fine-tune")
