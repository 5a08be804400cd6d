"""The results of `transfer`."""

from dataclasses import dataclass

from dlnotes_cli.training.results import ClassifierResult


@dataclass(frozen=True)
class LayerSummary:
    """A block of the backbone, or the head."""

    name: str
    parameters: int
    trains: bool
    lr_factor: float | None  # None: frozen


@dataclass(frozen=True)
class FoldSummary:
    """The accuracy on each fold of a cross-validation, with mean and sample standard deviation."""

    count: int
    accuracies: list[float]
    mean: float
    std: float


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
