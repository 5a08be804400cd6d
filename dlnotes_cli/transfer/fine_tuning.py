"""Fine-tuning: the gradient training of a pretrained network, block by block, after its head is fitted."""

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.models.backbones import BackboneConfig, TransferModel, named_blocks
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import StoppedError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.engine.classifier import ClassifierTraining, train_classifier
from dlnotes_cli.training.engine.distributed import ALONE, Processes
from dlnotes_cli.training.record import ClassifierResult
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.transfer.frozen_head import fit_initial_head
from dlnotes_cli.transfer.head_search import FittedHead
from dlnotes_cli.transfer.options import TransferConfig
from dlnotes_cli.transfer.plan import TransferPlan
from dlnotes_cli.transfer.recipes import FineTuneRecipe
from dlnotes_cli.transfer.results import TransferResult
from dlnotes_cli.transfer.unfreezing import count_blocks, lr_factors, summarize_layers, unfreeze, unfrozen_blocks


def fine_tune(plan: TransferPlan, recipe: FineTuneRecipe, processes: Processes = ALONE) -> TransferResult:
    """Fit the head to the frozen backbone, then train the network; the course's recipe starts with a random head.

    Of several `processes` the main one fits the head, with which all start. Raises errors as `train_classifier`.
    """
    options = plan.options
    if processes.is_main:
        RunFolder.check(options)  # before the features are computed
    fitted = None
    if processes.is_main and options.resume is None and options.recipe == "best":
        with StopRequest() as stop:
            try:
                fitted = fit_initial_head(plan, recipe.label_smoothing, stop.poll)
            except StoppedError as request:
                what = "the features computed so far are cached; fine-tuning has not started"
                raise StoppedError(request.exit_code, what, "run the same command again to continue") from request
    result = train_classifier(FineTuning(plan, recipe, fitted), processes)
    if fitted is not None:
        _warn_if_worse(fitted, result)
    return result


class FineTuning(ClassifierTraining[TransferConfig, FineTuneRecipe, TransferModel, TransferResult]):
    """The training of a pretrained network, from a head that is fitted to its features, or from a random one (None)."""

    model_name = "backbone"
    memory_options = "--backbone, --size or --batch-size"
    result_type = TransferResult

    def __init__(self, plan: TransferPlan, recipe: FineTuneRecipe, fitted: FittedHead | None) -> None:
        super().__init__(plan.options, recipe)
        self._plan, self._fitted = plan, fitted

    @property
    def trains_all(self) -> bool:
        """Whether `--fine-tune` unfreezes all blocks."""
        return self.options.fine_tune == "all"

    def load(self) -> DataSet:
        """The data, split, preprocessed as the weights expect."""
        return self._plan.load_pixels()

    def network_config(self, dataset: DataSet) -> BackboneConfig:
        """The configuration of the network for a data set."""
        return self._plan.network_config(len(dataset.classes))

    def initialize(self, network: TransferModel, dataset: DataSet) -> None:  # noqa: ARG002  # the base's signature
        """Load the pretrained weights and the fitted head, and freeze the blocks that `--fine-tune` excludes."""
        fine_tune = self.options.fine_tune
        self._plan.load_weights(network)
        if self._fitted is not None:
            network.head.load_state_dict(self._fitted.head.state_dict())
        unfreeze(network, count_blocks(fine_tune))
        trained = [layer for layer in summarize_layers(network, fine_tune) if layer.trains]
        names = ", ".join(layer.name for layer in trained)
        output.status("training", f"{names}, {sum(layer.parameters for layer in trained):,} parameters")

    def start_epoch(self, network: TransferModel, epoch: int, epochs: int | None) -> None:
        """Unfreeze the blocks that train in an epoch, and freeze the others."""
        count = count_blocks(self.options.fine_tune, len(list(named_blocks(network.backbone))))
        unfreeze(network, unfrozen_blocks(count, epoch, epochs))

    def has_all_layers(self, network: TransferModel, epoch: int, epochs: int | None) -> bool:
        """Whether the last block that `--fine-tune` trains is unfrozen."""
        count = count_blocks(self.options.fine_tune, len(list(named_blocks(network.backbone))))
        return unfrozen_blocks(count, epoch, epochs) == count

    def lr_factors(self, network: TransferModel) -> dict[str, float]:
        """Factors on the learning rate by parameter name: lower for earlier blocks."""
        return lr_factors(network)

    def complete(self, result: ClassifierResult, network: TransferModel) -> TransferResult:
        """The result of a run, with the fields that describe the backbone, its weights and its layers."""
        return self._plan.complete(result, network)


def _warn_if_worse(fitted: FittedHead, result: TransferResult) -> None:
    """Warn if the validation loss is higher than that of the frozen backbone with which the run started."""
    before, after = fitted.history[fitted.best_index].validation.loss, result.validation.loss
    if after > before:
        what = f"fine-tuning validates worse than the frozen backbone (loss {after:.4f}, before {before:.4f})"
        output.warn(f"{what}: use a lower --lr or more --epochs, or drop --fine-tune")
