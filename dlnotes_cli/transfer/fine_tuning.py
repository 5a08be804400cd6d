"""Fine-tuning: gradient training of a pretrained network, block by block, after its head was fitted."""

from typing import Any

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.device import choose_device
from dlnotes_cli.models.backbones import BackboneConfig, TransferModel, blocks, build_backbone
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import StoppedError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.engine.classifier import ClassifierTraining, train_classifier
from dlnotes_cli.training.record import TrainingResult
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.transfer.frozen_head import fit_initial_head
from dlnotes_cli.transfer.head_search import FittedHead
from dlnotes_cli.transfer.options import TransferConfig
from dlnotes_cli.transfer.plan import TransferPlan
from dlnotes_cli.transfer.recipes import FineTuneRecipe
from dlnotes_cli.transfer.unfreezing import count_blocks, layers_of, lr_factors, unfreeze, unfrozen_blocks


def fine_tune(plan: TransferPlan, recipe: FineTuneRecipe) -> TrainingResult:
    """Fit the head to the frozen backbone, then train the network; the course's recipe starts with a random head."""
    options = plan.options
    RunFolder(options)  # checks it before the features take their time
    choose_device(options.device)
    fitted = None
    if options.resume is None and options.recipe == "best":
        with StopRequest() as stop:
            try:
                fitted = fit_initial_head(plan, recipe.label_smoothing, stop.poll)
            except StoppedError as request:
                what = "the features computed so far are cached, and nothing is fine-tuned yet"
                raise StoppedError(request.exit_code, what, "run the same command again to continue") from request
    result = train_classifier(FineTuning(plan, recipe, fitted))
    if fitted is not None:
        _warn_if_worse(fitted, result)
    return result


class FineTuning(ClassifierTraining[TransferConfig, FineTuneRecipe, TransferModel]):
    """The fine-tuning of a pretrained network."""

    model_name = "backbone"

    def __init__(self, plan: TransferPlan, recipe: FineTuneRecipe, fitted: FittedHead | None) -> None:
        super().__init__(plan.options, recipe)
        self._plan, self._fitted = plan, fitted

    def load(self) -> DataSet:
        """The data as pixels, preprocessed as the weights expect."""
        return self._plan.load_pixels()

    def network_config(self, dataset: DataSet) -> BackboneConfig:
        """The configuration of the network for the classes of the data."""
        return self._plan.network_config(len(dataset.classes))

    def build(self, config: BackboneConfig) -> TransferModel:
        """The network of a configuration, with PyTorch's initialization."""
        return build_backbone(config)

    def initialize(self, network: TransferModel, dataset: DataSet) -> None:  # noqa: ARG002  # the base's signature
        """Load the pretrained weights and the fitted head, and freeze what `--fine-tune` does not name."""
        fine_tune = self.options.fine_tune
        self._plan.load_weights(network)
        if self._fitted is not None:
            network.head.load_state_dict(self._fitted.head.state_dict())
        unfreeze(network, count_blocks(fine_tune))
        trained = [layer for layer in layers_of(network, fine_tune) if layer.trains]
        names = ", ".join(layer.name for layer in trained)
        output.note(f"trains {names}: {sum(layer.parameters for layer in trained):,} parameters")

    def start_epoch(self, network: TransferModel, epoch: int, epochs: int | None) -> None:
        """Unfreeze the blocks that train in this epoch."""
        count = count_blocks(self.options.fine_tune, len(list(blocks(network.backbone))))
        unfreeze(network, unfrozen_blocks(count, epoch, epochs))

    def lr_factors(self, network: TransferModel) -> dict[str, float]:
        """Lower learning rates for earlier blocks."""
        return lr_factors(network)

    def details(self, network: TransferModel) -> dict[str, Any]:
        """The backbone, its weights, and which layers train."""
        return self._plan.details(network)


def _warn_if_worse(fitted: FittedHead, result: TrainingResult) -> None:
    """Warn if the frozen backbone, from which the run started, validated better."""
    frozen, tuned = fitted.history[fitted.best_index]["validation"]["loss"], result.validation["loss"]
    if tuned is not None and tuned > frozen:
        what = f"fine-tuning validates worse than the frozen backbone (loss {tuned:.4f}, before {frozen:.4f})"
        output.warn(f"{what}: use a lower --lr or more --epochs, or leave out --fine-tune")
