"""The results of `loss`, and the formulas of `--explain` with the numbers of the first row put in."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp, fsum

from dlnotes_cli.lessons.drawings import Plotted
from dlnotes_cli.lessons.options import LossConfig, LossName, Reduction
from dlnotes_cli.shell.codec import HIDDEN, in_json, in_json_as
from dlnotes_cli.shell.output import number
from dlnotes_cli.shell.show import Table

Target = int | tuple[float, ...] | None  # a class, or one number for each number of the row
_MOST_ROWS = 20  # of a table
_MOST_TERMS = 6  # of a sum that is written out
_LARGE_SCORE = 50  # from which the largest score is subtracted first, as the program always does
_NAMES = {"class", "true class", "highest"}  # columns that hold no numbers
_COURSE_SCORES = (2.0, 1.0, 0.0)
_COURSE_CORRECTION = (
    "the course's 0.67, 0.33, 0 are the scores 2, 1, 0 divided by their sum (share), which is no softmax: it gives "
    "zeros, and fails for negative scores"
)


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

    @property
    @in_json_as("formulas", optional=True)
    def formulas(self) -> list[str] | None:
        """With `--explain`, the formulas of the first row with its numbers, then the reduction of all rows."""
        if not self.config.explain:
            return None
        sample = self.samples[0]
        return [*_probabilities(self, sample), *_losses(self, sample), *_reduction(self)]

    @property
    def notes(self) -> list[str]:
        """With `--explain`, what the course says imprecisely."""
        is_of_course = any(sample.shares and sample.values == _COURSE_SCORES for sample in self.samples)
        return [_COURSE_CORRECTION] if self.config.explain and is_of_course else []

    def table(self) -> Iterator[Table | str]:
        """A row for each number of a sample, or for each sample with a class, then the reduced loss."""
        if self.loss is not None or self.config.scores is not None:
            yield from self._sample_rows()
        width = 12 if self.negative_log_likelihood is None else len("negative log-likelihood") + 2
        for name, value, bits in (("mean", self.mean, self.mean_bits), ("sum", self.sum, self.sum_bits)):
            if value is not None and self.reduction != "none" and (name == "mean" or value != self.mean):
                unit = "" if bits is None else f" nats = {number(bits)} bits"
                yield f"{name:<{width}}{self.loss} {number(value)}{unit}"
        if self.negative_log_likelihood is not None:
            yield f"{'likelihood':<{width}}{number(self.likelihood)}"
            yield f"{'negative log-likelihood':<{width}}{number(self.negative_log_likelihood)}"
        if self.formulas is not None:
            yield from ("", *self.formulas)

    def _sample_rows(self) -> Iterator[Table | str]:
        is_summary = len(self.samples) > 1 and isinstance(self.samples[0].true, int)
        cells = self._summary if is_summary else self._details
        rows = [row for position, sample in enumerate(self.samples, 1) for row in cells(position, sample)]
        columns = list(rows[0])
        shown = [[row[name] for name in columns] for row in rows[:_MOST_ROWS]]
        yield Table(columns, shown, set(columns) - _NAMES, is_result=True)
        if len(rows) > _MOST_ROWS:
            yield f"… {len(rows) - _MOST_ROWS:,} more; --json has all"

    def _summary(self, position: int, sample: SampleLoss) -> Iterator[dict[str, str]]:
        """The row of a sample with a true class."""
        index = sample.true if isinstance(sample.true, int) else 0
        highest = max(range(len(self.classes)), key=sample.values.__getitem__)
        row = {"row": str(position), "true class": self.classes[index], "highest": self.classes[highest]}
        if sample.probabilities:
            row["probability"] = number(sample.probabilities[index])
        yield row | {"loss": number((sample.losses or (0.0,))[0])}

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


def _probabilities(result: LossResult, sample: SampleLoss) -> Iterator[str]:
    config, p = result.config, sample.probabilities
    if config.scores is None or p is None:
        if result.negative_log_likelihood is not None and result.loss is None:
            factors = [value for one in result.samples for value in one.values]
            yield f"likelihood = {_joined(' * ', map(number, factors))} = {number(result.likelihood)}"
            yield f"-ln {number(result.likelihood)} = {number(result.negative_log_likelihood)}"
        return
    scores = [value / (config.temperature or 1.0) for value in sample.values]
    if config.temperature not in {None, 1.0}:
        quotients = (
            f"{number(value)} / {number(config.temperature)} = {number(score)}"
            for value, score in zip(sample.values, scores, strict=True)
        )
        yield f"scores / temperature: {_joined(', ', quotients)}"
    if result.loss == "bce":
        for score, value in zip(scores, p, strict=True):
            yield f"sigmoid({number(score)}) = 1 / (1 + e^{number(-score)}) = {number(value)}"
    elif result.loss in {None, "cross-entropy"}:
        yield from _softmax(scores, p)


def _softmax(scores: list[float], p: tuple[float, ...]) -> Iterator[str]:
    largest = max(scores)
    if max(map(abs, scores)) > _LARGE_SCORE:
        yield f"subtract the largest score, {number(largest)}, which changes no share and keeps e^s small"
        scores = [score - largest for score in scores]
    powers = list(map(exp, scores))
    total = fsum(powers)
    yield f"total = {_joined(' + ', (f'e^{number(score)}' for score in scores))} = {number(total)}"
    for score, power, value in zip(scores, powers, p, strict=True):
        quotient = f"{number(power)} / {number(total)}"
        yield f"softmax({number(score)}) = e^{number(score)} / total = {quotient} = {number(value)}"


def _losses(result: LossResult, sample: SampleLoss) -> Iterator[str]:
    if sample.losses is None or sample.targets is None:
        return
    numbers = zip(sample.values, sample.targets, strict=True)
    if result.loss in {"cross-entropy", "nll"}:
        yield from _cross_entropy(result, sample)
    elif result.loss == "bce":
        for p, t, loss in zip(sample.probabilities or (), sample.targets, sample.losses, strict=True):
            if t in {0.0, 1.0}:
                yield f"-ln {number(p)} = {number(loss)}" if t else f"-ln(1 - {number(p)}) = {number(loss)}"
            else:
                yield f"-{number(t)} ln {number(p)} - {number(1 - t)} ln {number(1 - p)} = {number(loss)}"
    elif len(sample.losses) == 1 < len(sample.values):
        yield f"hinge = sum of max(0, 1 - true score + score) / {len(sample.values)} = {number(sample.losses[0])}"
    else:
        pattern = {
            "mse": "({y} - {t})² = {loss}", "mae": "|{y} - {t}| = {loss}", "hinge": "max(0, 1 - {t} * {y}) = {loss}",
            "huber": "error {y} - {t}: squared / 2 up to 1, then |error| - 1/2 = {loss}",
        }[str(result.loss)]  # fmt: skip
        for (y, t), loss in zip(numbers, sample.losses, strict=True):
            yield pattern.format(y=number(y), t=number(t), loss=number(loss))


def _cross_entropy(result: LossResult, sample: SampleLoss) -> Iterator[str]:
    p, targets = sample.probabilities or (), sample.targets or ()
    weights = result.config.class_weights or (1.0,) * len(targets)
    terms = [
        f"{'' if w == 1 else f'{number(w)} * '}{'' if t == 1 else f'{number(t)} * '}ln {number(value)}"
        for w, t, value in zip(weights, targets, p, strict=True)
        if t
    ]
    yield f"{result.loss} = -({_joined(' + ', terms)}) = {number((sample.losses or (0.0,))[0])}"
    if result.config.scores is not None and result.loss == "cross-entropy" and result.config.class_weights is None:
        differences = (f"{number(value)} - {number(t)}" for value, t in zip(p, targets, strict=True))
        yield f"gradient = softmax - target = ({_joined(', ', differences)})"


def _reduction(result: LossResult) -> Iterator[str]:
    losses = [loss for sample in result.samples for loss in sample.losses or ()]
    if len(losses) > 1 and result.sum is not None and result.mean is not None:
        yield f"sum = {_joined(' + ', map(number, losses))} = {number(result.sum)}"
        count = result.sum / result.mean if result.mean else len(losses)  # with --class-weights, their sum
        yield f"mean = {number(result.sum)} / {number(count)} = {number(result.mean)}"


def _joined(separator: str, terms: "Iterator[str] | map[str] | list[str]") -> str:
    """Terms with a separator, the later ones of many as dots."""
    texts = list(terms)
    return separator.join(texts if len(texts) <= _MOST_TERMS else [*texts[: _MOST_TERMS - 1], "…"])
