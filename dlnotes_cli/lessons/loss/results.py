"""The results of `loss`."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from dlnotes_cli.lessons.drawings import Plotted
from dlnotes_cli.lessons.loss.options import LossConfig, LossName, Reduction
from dlnotes_cli.shell.codec import HIDDEN, OPTIONAL, in_json
from dlnotes_cli.shell.output import number
from dlnotes_cli.shell.show import Table

Target = int | tuple[float, ...] | None  # a class, or one number for each number of the row
_MOST_ROWS = 20  # of a table
_NAMES = {"class", "true class", "highest"}  # columns that hold no numbers


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
    losses: tuple[float, ...] | None = field(default=None, metadata=HIDDEN)
    gradient: tuple[float, ...] | None = None

    @property
    @in_json
    def loss(self) -> float | tuple[float, ...] | None:
        """The loss of the row, or those of its numbers."""
        return self.losses[0] if self.losses and len(self.losses) == 1 < len(self.values) else self.losses


@dataclass(frozen=True)
class LossResult(Plotted):
    """The samples and their reduced loss, in nats where it is a logarithm; `likelihood` is that of the true classes."""

    config: LossConfig = field(metadata=HIDDEN)
    loss: LossName | None
    reduction: Reduction
    classes: tuple[str, ...]
    samples: tuple[SampleLoss, ...]
    value: float | None = None  # as `--reduction` reduces the losses
    mean: float | None = None
    sum: float | None = None
    mean_bits: float | None = None  # of a loss that is a logarithm
    sum_bits: float | None = None
    likelihood: float | None = None
    negative_log_likelihood: float | None = None
    formulas: list[str] | None = field(default=None, metadata=OPTIONAL)  # with `--explain`
    notes: tuple[str, ...] = field(default=(), metadata=HIDDEN)

    def table(self) -> Iterator[Table | str]:
        """A row for each number of a sample, or for each sample with a class, then the reduced loss."""
        if self.loss is not None or self.samples[0].shares is not None or self.config.scores is not None:
            yield from self._sample_rows()
        width = 12 if self.negative_log_likelihood is None else len("negative log-likelihood") + 2
        if self.mean is not None and self.reduction != "none":
            yield f"{'mean':<{width}}{self._with_unit(self.mean, self.mean_bits)}"
        if self.sum is not None and self.reduction != "none" and self.sum != self.mean:
            yield f"{'sum':<{width}}{self._with_unit(self.sum, self.sum_bits)}"
        if self.negative_log_likelihood is not None:
            yield f"{'likelihood':<{width}}{number(self.likelihood)}"
            yield f"{'negative log-likelihood':<{width}}{number(self.negative_log_likelihood)}"
        if self.formulas is not None:
            yield from ("", *self.formulas)

    def _with_unit(self, value: float, bits: float | None) -> str:
        text = f"{self.loss} {number(value)}"
        return text if bits is None else f"{text} nats = {number(bits)} bits"

    def _sample_rows(self) -> Iterator[Table | str]:
        if len(self.samples) > 1 and isinstance(self.samples[0].true, int):
            rows = [self._summary(position, sample, sample.true) for position, sample in enumerate(self.samples, 1)]
        else:
            rows = [row for position, sample in enumerate(self.samples, 1) for row in self._details(position, sample)]
        columns = list(rows[0])
        cells = [[row[name] for name in columns] for row in rows[:_MOST_ROWS]]
        yield Table(columns, cells, set(columns) - _NAMES, is_result=True)
        if len(rows) > _MOST_ROWS:
            yield f"… {len(rows) - _MOST_ROWS:,} more; --json has all"

    def _summary(self, position: int, sample: SampleLoss, true: Target) -> dict[str, str]:
        """The row of a sample with a true class."""
        index = true if isinstance(true, int) else 0
        highest = max(range(len(self.classes)), key=sample.values.__getitem__)
        row = {"row": str(position), "true class": self.classes[index], "highest": self.classes[highest]}
        if sample.probabilities:
            row["probability"] = number(sample.probabilities[index])
        return row | {"loss": number((sample.losses or (0.0,))[0])}

    def _details(self, position: int, sample: SampleLoss) -> Iterator[dict[str, str]]:
        """A row for each number of a sample."""
        has_scores = self.config.scores is not None
        probability = "sigmoid" if self.loss == "bce" else "softmax"
        columns = {
            "score" if has_scores else "probability": sample.values,
            "true": sample.targets,
            "share": sample.shares,
            probability: sample.probabilities if has_scores else None,
            f"log-{probability}" if has_scores else "ln": sample.log_probabilities,
            "loss": sample.losses if sample.losses and len(sample.losses) == len(sample.values) else None,
            "gradient": sample.gradient,
        }
        for i, name in enumerate(self.classes):
            row = {"row": str(position)} if len(self.samples) > 1 else {}
            yield row | {"class": name} | {column: number(v[i]) for column, v in columns.items() if v is not None}
