"""`perceptron`: a line between two classes, moved point by point."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.table import column_numbers, read_labels, read_table_argument
from dlnotes_cli.lessons.options import Gate, PerceptronConfig, PredictionRule
from dlnotes_cli.shell.errors import InputError, UnfinishedError

Vector = NDArray[np.float64]
_MOST_STEPS = 100_000  # of a line towards one point
_ROUNDING = 1e-12  # of the sum of the absolute terms of a score: what is nearer to 0 is a point on the line
_CORNERS = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
_GATES: dict[Gate, tuple[int, int, int, int]] = {  # the output at each corner
    "and": (0, 0, 0, 1),
    "or": (0, 1, 1, 1),
    "not": (1, 0, 1, 0),
    "nand": (1, 1, 1, 0),
    "nor": (1, 0, 0, 0),
}
_NOT_SEPARATED = (
    "the step rule never ends where no line separates the classes; the epoch with the fewest errors is marked, and "
    "--rule sigmoid settles"
)
_COURSE_STOPS_EARLY = "the course stops after one update, when the point is still on the wrong side"


@dataclass(frozen=True)
class LabeledPoints:
    """Points (N, D) with labels 0 or 1, the names of the columns and of the two classes."""

    x: Vector
    y: NDArray[np.int64]
    columns: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Epoch:
    """The line after an epoch, and how well it separates; epoch 0 is the start."""

    epoch: int
    weights: tuple[float, ...]
    bias: float
    errors: int
    accuracy: float
    loss: float

    def as_json(self) -> dict[str, Any]:
        """One entry of `epochs`."""
        return {**vars(self), "weights": list(self.weights)}


@dataclass(frozen=True)
class PerceptronResult:
    """The line after each epoch; `best` is the first epoch with the fewest errors."""

    points: LabeledPoints
    rule: PredictionRule
    lr: float
    epochs: tuple[Epoch, ...]

    @property
    def best(self) -> Epoch:
        """The first epoch with the fewest errors."""
        return min(self.epochs, key=lambda epoch: epoch.errors)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a student should know about this run."""
        return (_NOT_SEPARATED,) if self.rule == "step" and self.epochs[-1].errors else ()

    def as_json(self) -> dict[str, Any]:
        """The fields of the JSON document."""
        last = self.epochs[-1]
        return {
            "rule": self.rule,
            "lr": self.lr,
            "columns": list(self.points.columns),
            "classes": list(self.points.classes),
            "points": len(self.points.y),
            "weights": list(last.weights),
            "bias": last.bias,
            "errors": last.errors,
            "separated": not last.errors,
            "best_epoch": self.best.epoch,
            "epochs": [epoch.as_json() for epoch in self.epochs],
        }


@dataclass(frozen=True)
class Step:
    """A line, and the score of the point on it; step 0 is the line as given."""

    step: int
    weights: tuple[float, ...]
    bias: float
    score: float

    def as_json(self) -> dict[str, Any]:
        """One entry of `steps`."""
        return {**vars(self), "weights": list(self.weights)}


@dataclass(frozen=True)
class LineResult:
    """A line that moves towards one point, step by step."""

    point: tuple[float, ...]
    label: int
    rule: PredictionRule
    lr: float
    steps: tuple[Step, ...]

    @property
    def right_after(self) -> int | None:
        """The number of updates after which the point is on its side; None if it never is."""
        return next((step.step for step in self.steps if (step.score >= 0) == bool(self.label)), None)

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the course stops too early."""
        is_course = (self.steps[0].weights, self.steps[0].bias, self.point) == ((3.0, 4.0), -10.0, (4.0, 5.0))
        return (_COURSE_STOPS_EARLY,) if is_course and self.label == 0 else ()

    def as_json(self) -> dict[str, Any]:
        """The fields of the JSON document."""
        last = self.steps[-1]
        return {
            "rule": self.rule,
            "lr": self.lr,
            "point": list(self.point),
            "label": self.label,
            "weights": list(last.weights),
            "bias": last.bias,
            "score": last.score,
            "right_after": self.right_after,
            "steps": [step.as_json() for step in self.steps],
        }


def perceptron(config: PerceptronConfig) -> PerceptronResult | LineResult:
    """Train a perceptron on points, or move one line. Raises InputError for points that it cannot read."""
    if config.line is not None and config.point is not None:
        return _move_line(config, np.array(config.line[:-1]), config.line[-1], np.array(config.point))
    points = _points(config)
    weights, bias = _initial(config, points.x.shape[1])
    epochs = []
    for epoch in _train(points, weights, bias, config):
        if not np.isfinite([*epoch.weights, epoch.bias, epoch.loss]).all():
            raise UnfinishedError("--lr", f"the weights overflow in epoch {epoch.epoch}", "use a smaller --lr")
        epochs.append(epoch)
        if config.rule == "step" and not epoch.errors:
            break
    return PerceptronResult(points, config.rule, config.learning_rate, tuple(epochs))


def _points(config: PerceptronConfig) -> LabeledPoints:
    if config.gate is not None:
        labels = np.array(_GATES[config.gate])
        return LabeledPoints(np.array(_CORNERS), labels, ("x1", "x2"), ("0", "1"))
    table = read_table_argument(str(config.csv), has_header=config.header)
    target = config.target or table.header[-1]
    labels, classes = read_labels(table, target)
    columns = tuple(name for name in table.header if name != target)
    if not columns:
        raise InputError(table.path, f"the target '{target}' is the only column", "add columns of numbers")
    if len(classes) != 2:  # noqa: PLR2004  # a line has two sides
        what = f"'{target}' has {len(classes)} classes, and a line separates 2"
        raise InputError("--target", what, "choose a column of two classes")
    return LabeledPoints(np.stack([column_numbers(table, name) for name in columns], axis=1), labels, columns, classes)


def _initial(config: PerceptronConfig, inputs: int) -> tuple[Vector, float]:
    """Weights (D,) and bias before the first epoch. The generator is that of the course's notebook."""
    chosen = config.init
    if chosen is None and config.gate is not None:
        chosen = (0.0,)
    if not chosen:
        generator = np.random.RandomState(config.seed % 2**32)
        return generator.normal(scale=1 / inputs**0.5, size=inputs), 0.0
    if chosen == (0.0,):
        return np.zeros(inputs), 0.0
    if len(chosen) != inputs + 1:
        what = f"{len(chosen)} numbers for {inputs} inputs"
        raise InputError("--init", what, "give a weight for each input, and the bias last")
    return np.array(chosen[:-1]), chosen[-1]


def _train(points: LabeledPoints, weights: Vector, bias: float, config: PerceptronConfig) -> Iterator[Epoch]:
    """The start, then each epoch: every point in its order moves the line, for `step` only if it is wrong."""
    yield _measured(0, points, weights, bias)
    for number in range(1, config.epochs + 1):
        for x, y in zip(points.x, points.y.tolist(), strict=True):
            weights, bias = _updated(weights, bias, x, y, config)
        yield _measured(number, points, weights, bias)


def _updated(weights: Vector, bias: float, x: Vector, y: int, config: PerceptronConfig) -> tuple[Vector, float]:
    """The line after one point: lr (y - output) times its coordinates is added to the weights, and to the bias."""
    score = _score(x, weights, bias)
    output = float(score >= 0) if config.rule == "step" else float(_sigmoid(np.array(score)))
    change = config.learning_rate * (y - output)
    return weights + change * x, bias + change


def _measured(number: int, points: LabeledPoints, weights: Vector, bias: float) -> Epoch:
    scores = points.x @ weights + bias
    wrong = (_on_the_line(scores, points.x, weights, bias) | (scores >= 0)) != (points.y == 1)
    loss = float(np.mean(np.logaddexp(0, np.where(points.y == 1, -scores, scores))))  # - ln of the right sigmoid
    errors = int(wrong.sum())
    return Epoch(number, tuple(weights.tolist()), float(bias), errors, 1 - errors / len(points.y), loss)


def _score(x: Vector, weights: Vector, bias: float) -> float:
    """The score of a point; 0 on the line, where rounding would choose a side: 0.1 + 0.2 - 0.3 is above 0."""
    score = float(np.dot(x, weights)) + bias
    return 0.0 if _on_the_line(np.array(score), x, weights, bias) else score


def _on_the_line(scores: Vector, x: Vector, weights: Vector, bias: float) -> NDArray[np.bool_]:
    """Which scores differ from 0 by no more than the rounding of their terms."""
    return np.asarray(np.abs(scores) <= _ROUNDING * (np.abs(x) @ np.abs(weights) + abs(bias)))


def _sigmoid(score: Vector) -> Vector:
    """1 / (1 + exp(-s)), 0 where exp(-s) overflows."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-score)))


def _move_line(config: PerceptronConfig, weights: Vector, bias: float, x: Vector) -> LineResult:
    """Move the line towards the point, `config.steps` times or until the point is on its side."""
    label = int(config.label or 0)
    steps = [Step(0, tuple(weights.tolist()), bias, _score(x, weights, bias))]
    limit = config.steps or _MOST_STEPS
    while len(steps) <= limit and (config.steps is not None or (steps[-1].score >= 0) != bool(label)):
        weights, bias = _updated(weights, bias, x, label, config)
        steps.append(Step(len(steps), tuple(weights.tolist()), bias, _score(x, weights, bias)))
    if config.steps is None and len(steps) > limit:
        raise UnfinishedError("--lr", f"the point is still wrong after {limit:,} updates", "use a larger --lr")
    return LineResult(tuple(x.tolist()), label, config.rule, config.learning_rate, tuple(steps))
