"""The results of `loss`."""

from dataclasses import dataclass
from math import exp, log
from typing import Any

from dlnotes_cli.lessons.loss.options import LossConfig, LossName

Target = int | tuple[float, ...] | None  # a class, or one number for each number of the row


@dataclass(frozen=True)
class SampleLoss:
    """One row: its numbers and targets, and what follows from them.

    `losses` has one loss for the row, or one for each number; `targets` is the distribution or the numbers that they
    compare with; `gradient` is the derivative of the reduced loss by the scores.
    """

    values: tuple[float, ...]
    true: Target = None
    targets: tuple[float, ...] | None = None
    shares: tuple[float, ...] | None = None
    probabilities: tuple[float, ...] | None = None
    log_probabilities: tuple[float, ...] | None = None
    losses: tuple[float, ...] | None = None
    gradient: tuple[float, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """One entry of `samples`."""
        losses = self.losses
        return {
            "values": self.values,
            "true": self.true,
            "targets": self.targets,
            "shares": self.shares,
            "probabilities": self.probabilities,
            "log_probabilities": self.log_probabilities,
            "loss": losses[0] if losses and (len(losses) == 1 < len(self.values)) else losses,
            "gradient": self.gradient,
        }


@dataclass(frozen=True)
class LossResult:
    """The samples and their reduced loss, in nats where it is a logarithm; `likelihood` is that of the true classes."""

    config: LossConfig
    loss: LossName | None
    classes: tuple[str, ...]
    samples: tuple[SampleLoss, ...]
    mean: float | None = None
    sum: float | None = None
    negative_log_likelihood: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_logarithm(self) -> bool:
        """Whether the loss is a logarithm, which has the unit nat or bit."""
        return self.loss in {"cross-entropy", "nll", "bce"}

    @property
    def likelihood(self) -> float | None:
        """The probability of all true classes."""
        nll = self.negative_log_likelihood
        return None if nll is None else exp(-nll)

    @property
    def value(self) -> float | None:
        """The loss as `--reduction` reduces it; None for `none`."""
        return {"mean": self.mean, "sum": self.sum, "none": None}[self.config.reduction]

    def as_json(self) -> dict[str, Any]:
        """The fields of the JSON document."""
        in_bits = {
            f"{name}_bits": value / log(2) if value is not None and self.is_logarithm else None
            for name, value in (("mean", self.mean), ("sum", self.sum))
        }
        return {
            "loss": self.loss,
            "reduction": self.config.reduction,
            "classes": self.classes,
            "samples": [sample.as_json() for sample in self.samples],
            "value": self.value,
            "mean": self.mean,
            "sum": self.sum,
            **in_bits,
            "likelihood": self.likelihood,
            "negative_log_likelihood": self.negative_log_likelihood,
            "plot": None if self.config.plot is None else str(self.config.plot),
        }
