"""What the validations of a classifier are ranked by: loss, accuracy or macro-F1."""

from dataclasses import dataclass, field
from typing import Literal, Self

from dlnotes_cli.shell.codec import NAN_IF_NULL
from dlnotes_cli.training.metrics import Evaluation, Metrics

MonitorName = Literal["loss", "accuracy", "macro-f1"]
LARGE_VALIDATION = 5_000  # samples from which accuracy is a reliable measure


@dataclass(frozen=True, kw_only=True)
class MacroMetrics(Metrics):
    """The metrics of a validation that macro-F1 ranks."""

    macro_f1: float = field(metadata=NAN_IF_NULL)  # unweighted mean over the classes


@dataclass(frozen=True)
class Monitored:
    """What chose the best epoch, and its value there."""

    name: str  # a MonitorName
    value: float = field(metadata=NAN_IF_NULL)


@dataclass(frozen=True)
class Monitor:
    """A ranking of validations."""

    name: MonitorName

    @classmethod
    def of(cls, choice: Literal["auto", "loss", "accuracy", "macro-f1"], samples: int) -> Self:
        """The ranking that `--monitor` names, for a number of validation samples.

        `auto` is accuracy from 5,000 samples on: below, the loss is far less noisy.
        """
        if choice != "auto":
            return cls(choice)
        return cls("accuracy" if samples >= LARGE_VALIDATION else "loss")

    @property
    def metrics_type(self) -> type[Metrics]:
        """The class of the metrics of a validation."""
        return MacroMetrics if self.name == "macro-f1" else Metrics

    def metrics(self, evaluation: Evaluation) -> Metrics:
        """The metrics of a validation, with those that the ranking needs."""
        if self.name != "macro-f1":
            return evaluation.metrics
        return MacroMetrics(**vars(evaluation.metrics), macro_f1=evaluation.macro_average()["f1"])

    def value(self, metrics: Metrics) -> float:
        """The monitored metric."""
        return float(getattr(metrics, self.name.replace("-", "_")))

    def rank(self, metrics: Metrics) -> tuple[float, ...]:
        """A sort key, largest for the best validation; the loss decides between equal ones."""
        return (-metrics.loss,) if self.name == "loss" else (self.value(metrics), -metrics.loss)
