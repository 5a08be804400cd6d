"""The results of `transfer`."""

from dataclasses import dataclass

from dlnotes_cli.training.record import ClassifierResult
from dlnotes_cli.transfer.head_search import FoldSummary
from dlnotes_cli.transfer.unfreezing import LayerSummary


@dataclass(frozen=True)
class TransferResult(ClassifierResult):
    """The result of fine-tuning a pretrained network."""

    backbone: str
    weights: str
    pretrained: bool
    fine_tune: str | None  # the value of `--fine-tune`
    layers: tuple[LayerSummary, ...]


@dataclass(frozen=True)
class FrozenResult(TransferResult):
    """The result of fitting a head to a frozen backbone."""

    weight_decay: float  # chosen by validation
    folds: FoldSummary | None
    features: str | None  # the file of `--export-features`

    @property
    def selection(self) -> str:
        """What validation selected, as text."""
        by_folds = f" by {self.folds.count} folds" if self.folds else ""
        return f"weight decay {self.weight_decay:.3g} chosen{by_folds}, {self.steps:,} passes over the features"
