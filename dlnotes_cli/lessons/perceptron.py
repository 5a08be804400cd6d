"""`perceptron`: a line between two classes, moved point by point.

The step rule never settles where no line separates the classes, so the best line of all epochs is kept: the pocket
algorithm (Gallant 1990, "Perceptron-based learning algorithms"), here with the errors after each epoch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.table import column_numbers, read_table_argument
from dlnotes_cli.data.table_columns import read_labels
from dlnotes_cli.lessons.drawings import Animated, drawn
from dlnotes_cli.lessons.options import Gate, PerceptronConfig, PredictionRule
from dlnotes_cli.shell.codec import HIDDEN, INLINE, named, through
from dlnotes_cli.shell.errors import UnfinishedError, require
from dlnotes_cli.shell.output import counted, number, printable
from dlnotes_cli.shell.show import Table

Vector = NDArray[np.float64]
_EPOCHS = 100  # without --epochs
_ROWS = 10  # of a table of many epochs
_MOST_WEIGHTS = 3  # that fit into 80 columns
_MOST_STEPS = 100_000  # of a line towards one point
_ROUNDING = 1e-12  # of the sum of the absolute terms of a score: what is nearer to 0 is a point on the line
_GATES: dict[Gate, tuple[int, int, int, int]] = {  # the output at the corners (0, 0), (0, 1), (1, 0) and (1, 1)
    "and": (0, 0, 0, 1), "or": (0, 1, 1, 1), "not": (1, 0, 1, 0), "nand": (1, 1, 1, 0), "nor": (1, 0, 0, 0)
}  # fmt: skip
_NOT_SEPARATED = (
    "the step rule never ends where no line separates the classes; the pocket algorithm (Gallant 1990) keeps the line "
    "with the fewest errors, and --rule sigmoid settles"
)
_COURSE_STOPS_EARLY = "the course stops after one update, when the point is still on the wrong side"


@dataclass(frozen=True)
class LabeledPoints:
    """Points (N, D) with labels 0 or 1, the names of the columns and of the two classes."""

    x: Vector = field(metadata=HIDDEN)
    y: NDArray[np.int64] = field(metadata=named("points") | through(len))
    columns: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A line between two classes: w x + b = 0."""

    weights: tuple[float, ...]
    bias: float


@dataclass(frozen=True)
class Epoch(Line):
    """The line after an epoch, and how well it separates; epoch 0 is the start."""

    epoch: int
    errors: int
    accuracy: float
    loss: float


@dataclass(frozen=True)
class Step(Line):
    """A line, and the score of the point on it; step 0 is the line as given."""

    step: int
    score: float


@dataclass(frozen=True)
class PerceptronResult(Animated):
    """The line after each epoch, and the one that is kept.

    The step rule keeps that of the first epoch with the fewest errors, the sigmoid the last one. `margin` is the least
    distance of a point to it, negative on the wrong side; None for weights of 0.
    """

    config: PerceptronConfig = field(metadata=HIDDEN)
    rule: PredictionRule
    lr: float
    line: Line = field(metadata=INLINE)
    points: LabeledPoints = field(metadata=INLINE)
    epochs: tuple[Epoch, ...]
    best_epoch: int
    errors: int
    separated: bool
    margin: float | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a student should know about this run."""
        return (_NOT_SEPARATED,) if self.rule == "step" and self.errors else ()

    def table(self) -> Iterator[Table | str]:
        """A row for some of the epochs, among them the best one, and how well it separates."""
        last = self.epochs[-1].epoch
        stride = max(1, -(-last // _ROWS))
        always = {0, self.best_epoch, last}
        names = [f"w {printable(name)}" for name in self.points.columns[:_MOST_WEIGHTS]]
        marked = [] if self.best_epoch == last else [""]  # the column of the mark
        columns = ["epoch", *names, "bias", "errors", "accuracy", "loss", *marked]
        rows = [
            [
                one.epoch, *map(number, (*one.weights[: len(names)], one.bias)), one.errors, f"{one.accuracy:.4f}",
                f"{one.loss:.4f}", *("best" if one.epoch == self.best_epoch else "" for _ in marked),
            ]
            for one in self.epochs if one.epoch % stride == min(1, stride - 1) or one.epoch in always
        ]  # fmt: skip
        yield Table(columns, rows, set(columns) - {""}, is_result=True)
        if self.rule == "step" and self.separated:
            through_a_point = ": the line passes through a point, which counts as class 1" if self.margin == 0 else ""
            yield f"separated after {counted(last, 'epoch')}, with a margin of {number(self.margin)}{through_a_point}"
        else:
            kept = "; its line is kept" if self.rule == "step" else ""
            errors = f"{self.epochs[self.best_epoch].errors} of {len(self.points.y)} points"
            yield f"fewest errors: {errors}, after epoch {self.best_epoch}{kept}"


@dataclass(frozen=True)
class LineResult(Animated):
    """A line that moves towards one point, step by step; `right_after` is when the point was on its side, if ever."""

    config: PerceptronConfig = field(metadata=HIDDEN)
    points: LabeledPoints = field(metadata=HIDDEN)
    rule: PredictionRule
    lr: float
    line: Line = field(metadata=INLINE)
    point: tuple[float, ...]
    label: int
    steps: tuple[Step, ...]
    score: float
    right_after: int | None

    @property
    def notes(self) -> tuple[str, ...]:
        """With `--explain`, where the course stops too early."""
        first = self.steps[0]
        is_course = (first.weights, first.bias, self.point, self.label) == ((3.0, 4.0), -10.0, (4.0, 5.0), 0)
        return (_COURSE_STOPS_EARLY,) if self.config.explain and is_course else ()

    def table(self) -> Iterator[Table | str]:
        """A row for each step, and when the point was on its side."""
        columns = ["step", *(f"w{i}" for i in range(1, len(self.point) + 1)), "bias", "score", "predicted"]
        rows = [
            [one.step, *map(number, (*one.weights, one.bias, one.score)), int(one.score >= 0)] for one in self.steps
        ]
        yield Table(columns, rows, columns, is_result=True)
        if self.right_after is None:
            yield "still wrong"
        else:
            yield f"the point is classified correctly after {counted(self.right_after, 'update')}"


def perceptron(config: PerceptronConfig) -> PerceptronResult | LineResult:
    """Train a perceptron on points, or move one line. Raises InputError for points that it cannot read."""
    points, is_step, epochs = _points(config), config.rule == "step", list[Epoch]()
    lines = _lines(config, points, *_initial(config, points.x.shape[1]))
    if config.line is not None:
        return drawn(_move_line(config, points, lines), "perceptron_plot")
    for weights, bias in islice(lines, (config.epochs or _EPOCHS) + 1):
        epochs.append(_measured(len(epochs), points, weights, bias))
        if not np.isfinite([*epochs[-1].weights, epochs[-1].bias, epochs[-1].loss]).all():
            raise UnfinishedError("--lr", f"the weights overflow in epoch {epochs[-1].epoch}", "use a smaller --lr")
        if is_step and epochs[-1].errors == 0:
            break
    best = min(epochs, key=lambda one: one.errors)
    kept = best if is_step else epochs[-1]
    line, margin = Line(kept.weights, kept.bias), _margin(points, kept)
    result = PerceptronResult(
        config, config.rule, config.learning_rate, line, points, tuple(epochs), best.epoch, kept.errors,
        kept.errors == 0, margin,
    )  # fmt: skip
    return drawn(result, "perceptron_plot")


def _margin(points: LabeledPoints, line: Line) -> float | None:
    weights = np.array(line.weights)
    if not weights.any():
        return None
    scores = _scores(points.x, weights, line.bias)
    return float(np.where(points.y == 1, scores, -scores).min() / np.linalg.norm(weights)) + 0.0


def _points(config: PerceptronConfig) -> LabeledPoints:
    if config.point is not None:
        return LabeledPoints(np.array([config.point]), np.array([config.label]), ("x1", "x2"), ("0", "1"))
    if config.gate is not None:
        corners = np.array([(x1, x2) for x1 in (0.0, 1.0) for x2 in (0.0, 1.0)])
        return LabeledPoints(corners, np.array(_GATES[config.gate]), ("x1", "x2"), ("0", "1"))
    table = read_table_argument(str(config.csv), has_header=config.header)
    target = config.target or table.header[-1]
    labels, classes = read_labels(table, target)
    columns = tuple(name for name in table.header if name != target)
    require(columns, table.path, f"the target '{target}' is the only column", "add columns of numbers")
    what = f"'{target}' has {len(classes)} classes, and a line separates 2"
    require(len(classes) == 2, "--target", what, "choose a column of two classes")  # noqa: PLR2004
    return LabeledPoints(np.stack([column_numbers(table, name) for name in columns], axis=1), labels, columns, classes)


def _initial(config: PerceptronConfig, inputs: int) -> tuple[Vector, float]:
    """Weights (D,) and bias before the first epoch. The generator is that of the course's notebook."""
    chosen = config.line or ((0.0,) if config.init is None and config.gate is not None else config.init)
    if not chosen:
        generator = np.random.RandomState(config.seed % 2**32)
        return generator.normal(scale=1 / inputs**0.5, size=inputs), 0.0
    if chosen == (0.0,):
        return np.zeros(inputs), 0.0
    what = f"{len(chosen)} numbers for {inputs} inputs"
    require(len(chosen) == inputs + 1, "--init", what, "give a weight for each input, and the bias last")
    return np.array(chosen[:-1]), chosen[-1]


def _lines(
    config: PerceptronConfig, points: LabeledPoints, weights: Vector, bias: float
) -> Iterator[tuple[Vector, float]]:
    """The line as given, and after each pass over the points: lr (y - output) times a point is added to the weights."""
    while True:
        yield weights, bias
        for x, y in zip(points.x, points.y.tolist(), strict=True):
            score = float(_scores(x, weights, bias))
            with np.errstate(over="ignore"):
                output = float(score >= 0) if config.rule == "step" else float(1 / (1 + np.exp(-score)))
            change = config.learning_rate * (y - output)
            weights, bias = weights + change * x, bias + change


def _measured(epoch: int, points: LabeledPoints, weights: Vector, bias: float) -> Epoch:
    scores = _scores(points.x, weights, bias)
    loss = float(np.mean(np.logaddexp(0, np.where(points.y == 1, -scores, scores))))  # - ln of the right sigmoid
    errors = int(((scores >= 0) != (points.y == 1)).sum())
    return Epoch(tuple(weights.tolist()), float(bias), epoch, errors, 1 - errors / len(points.y), loss)


def _scores(x: Vector, weights: Vector, bias: float) -> Vector:
    """The scores of points (N, D), or of one (D,); 0 on the line, where rounding would choose a side.

    In floating point 0.1 + 0.2 - 0.3 is above 0.
    """
    scores = x @ weights + bias
    return np.where(np.abs(scores) <= _ROUNDING * (np.abs(x) @ np.abs(weights) + abs(bias)), 0.0, scores)


def _move_line(config: PerceptronConfig, points: LabeledPoints, lines: Iterator[tuple[Vector, float]]) -> LineResult:
    """Move the line towards the point, `config.steps` times or until the point is on its side."""
    label, limit, steps = int(points.y[0]), config.steps or _MOST_STEPS, list[Step]()
    for weights, bias in islice(lines, limit + 1):
        steps.append(Step(tuple(weights.tolist()), bias, len(steps), float(_scores(points.x[0], weights, bias))))
        if config.steps is None and (steps[-1].score >= 0) == bool(label):
            break
    right_after = next((step.step for step in steps if (step.score >= 0) == bool(label)), None)
    if config.steps is None and right_after is None:
        raise UnfinishedError("--lr", f"the point is still wrong after {limit:,} updates", "use a larger --lr")
    last = steps[-1]
    return LineResult(
        config, points, config.rule, config.learning_rate, Line(last.weights, last.bias), tuple(points.x[0].tolist()),
        label, tuple(steps), last.score, right_after,
    )  # fmt: skip
