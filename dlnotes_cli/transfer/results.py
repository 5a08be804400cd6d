"""The results of `transfer`."""

from collections.abc import Iterator
from dataclasses import dataclass

from dlnotes_cli.shell.show import Table
from dlnotes_cli.training.results import ClassifierResult
from dlnotes_cli.transfer.plan import LayerSummary


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

    def table(self) -> Iterator[Table | str]:
        """A row for all frozen blocks, one for each layer that is trained, and what every classifier has."""
        how = "L-BFGS" if self.fine_tune is None else "{:g} x --lr"
        frozen = [layer.parameters for layer in self.layers if not layer.trains]
        rows = [(f"{len(frozen)} blocks, frozen", f"{sum(frozen):,}", "-")] if frozen else []
        rows += [(one.name, f"{one.parameters:,}", how.format(one.lr_factor)) for one in self.layers if one.trains]
        yield Table(("layer", "parameters", "learning rate"), rows, ("parameters", "learning rate"), is_result=True)
        yield from super().table()


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
