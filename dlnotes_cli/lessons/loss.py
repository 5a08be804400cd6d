"""`loss`: losses, probabilities and gradients, in plain Python, which starts at once, and stable for large scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import copysign, exp, fsum, inf, log, log1p
from typing import TYPE_CHECKING, Any

from dlnotes_cli.lessons.drawings import drawn
from dlnotes_cli.lessons.loss_results import LossResult, SampleLoss, Target
from dlnotes_cli.lessons.options import LossConfig, LossName
from dlnotes_cli.shell.errors import InputError, require
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.parse import Matrix, parse_matrix

if TYPE_CHECKING:
    from dlnotes_cli.data.table import Table

Numbers = Sequence[float]
_LOGARITHMS = {"cross-entropy", "nll", "bce"}  # losses in nats
_TABLES = {".csv", ".tsv", ".txt"}
_SUM_TOLERANCE = 0.005  # probabilities that people type are rounded


def calculate_loss(config: LossConfig) -> LossResult:
    """Losses, probabilities and gradients of the rows of a config. Raises InputError where they do not fit."""
    rows = _read(config)
    loss = config.loss or _usual_loss(config, rows)
    _check(config, loss, rows)
    weights = config.class_weights or (1.0,) * len(rows.classes)
    true: Sequence[Target] = rows.true if rows.true is not None else [None] * len(rows.values)
    samples = [_sample(config, loss, values, t, weights) for values, t in zip(rows.values, true, strict=True)]
    totals: dict[str, Any] = {}
    if loss is not None:
        losses = [one for sample in samples for one in sample.losses or ()]
        classes = [weights[sample.true] for sample in samples if isinstance(sample.true, int)]
        denominator, total = fsum(classes) if classes else float(len(losses)), fsum(losses)
        require(denominator, "--class-weights", "the weights of the true classes are 0", "use weights above 0")
        scale = denominator if config.reduction == "mean" else 1.0
        samples = [replace(one, gradient=tuple(slope / scale for slope in one.gradient or ())) for one in samples]
        totals = {"mean": total / denominator, "sum": total}
        totals["value"] = totals.get(config.reduction)
        if loss in _LOGARITHMS:
            totals |= {"mean_bits": totals["mean"] / log(2), "sum_bits": total / log(2)}
    negative_log = _negative_log_likelihood(config, loss, samples)
    if negative_log is not None:
        totals |= {"likelihood": exp(-negative_log), "negative_log_likelihood": negative_log}
    return drawn(LossResult(config, loss, config.reduction, rows.classes, tuple(samples), **totals), "loss_plot")


def _sample(
    config: LossConfig, loss: LossName | None, values: tuple[float, ...], true: Target, weights: Numbers
) -> SampleLoss:
    """One row with its losses and the gradient of their sum."""
    scale = config.temperature or 1.0
    scores, shares, log_p = [value / scale for value in values], None, None
    if config.probabilities is not None:
        log_p = [log(p) if p else -inf for p in values]
    elif loss in {None, "cross-entropy"}:
        log_p, total = log_softmax(scores), fsum(values)
        shares = tuple(value / total for value in values) if total else None
    elif loss == "nll":
        log_p = list(values)  # the scores are logarithms
    elif loss == "bce":
        log_p = list(map(log_sigmoid, scores))
    p = values if config.probabilities is not None else None if log_p is None else tuple(map(exp, log_p))
    sample = SampleLoss(values, true, None, shares, p, None if log_p is None else tuple(log_p))
    if loss is None:
        return sample
    targets: Numbers = true if isinstance(true, tuple) else [float(i == true) for i in range(len(values))]
    if loss in {"cross-entropy", "nll"} and p is not None and log_p is not None:
        smoothing = config.label_smoothing or 0.0
        targets = [t * (1 - smoothing) + smoothing / len(targets) for t in targets]
        weighted = [w * t for w, t in zip(weights, targets, strict=True)]
        losses = [_finite(0.0 - fsum(w * value for w, value in zip(weighted, log_p, strict=True) if w))]
        # The softmax makes it p - t, and with weights p sum(w t) - w t; logarithms as scores have no softmax.
        total = 0.0 if loss == "nll" and config.scores is not None else fsum(weighted)
        gradient = [(q * total - w) / scale + 0.0 for q, w in zip(p, weighted, strict=True)]
    elif loss == "bce" and p is not None and log_p is not None:
        has_scores = config.scores is not None
        log_not_p = [log_sigmoid(-s) if has_scores else log(1 - s) if s < 1 else -inf for s in scores]
        both = zip(log_p, log_not_p, targets, strict=True)
        losses = [0.0 - (t * a if t else 0.0) - ((1 - t) * b if t != 1 else 0.0) for a, b, t in both]
        _finite(fsum(losses))
        gradient = [(q - t) / scale for q, t in zip(p, targets, strict=True)]
    elif loss == "hinge" and isinstance(true, int):
        margins = [max(0.0, 1 - values[true] + value) if i != true else 0.0 for i, value in enumerate(values)]
        losses, gradient = [fsum(margins) / len(values)], [(margin > 0) / len(values) for margin in margins]
        gradient[true] = -fsum(gradient)
    else:
        pairs = [_ELEMENTWISE[loss](value, t) for value, t in zip(values, targets, strict=True)]
        losses, gradient = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return replace(sample, targets=tuple(targets), losses=tuple(losses), gradient=tuple(gradient))


def log_softmax(scores: Numbers) -> list[float]:
    """Logarithms of the softmax: s - max - ln(sum of exp(s - max)), which never overflows.

    >>> [round(value, 4) for value in log_softmax([1002, 1001, 1000])]
    [-0.4076, -1.4076, -2.4076]
    """
    largest = max(range(len(scores)), key=scores.__getitem__)
    shifted = [score - scores[largest] for score in scores]
    log_total = log1p(fsum(exp(score) for i, score in enumerate(shifted) if i != largest))  # the largest adds exp(0)
    return [score - log_total for score in shifted]


def log_sigmoid(score: float) -> float:
    """The logarithm of the sigmoid: min(s, 0) - ln(1 + exp(-|s|))."""
    return min(score, 0.0) - log1p(exp(-abs(score)))


def _sign(error: float) -> float:
    return copysign(1.0, error) if error else 0.0


_ELEMENTWISE: dict[str, Callable[[float, float], tuple[float, float]]] = {  # value and target to loss and slope
    "mse": lambda y, t: ((y - t) ** 2, 2 * (y - t)),
    "mae": lambda y, t: (abs(y - t), _sign(y - t)),
    "huber": lambda y, t: ((y - t) ** 2 / 2, y - t) if abs(y - t) <= 1 else (abs(y - t) - 0.5, _sign(y - t)),
    "hinge": lambda y, sign: (1 - sign * y, -sign) if sign * y < 1 else (0.0, 0.0),
}


def _finite(value: float) -> float:
    what = "what happened has probability 0, so that the loss is infinite"
    require(value < inf, "--probabilities", what, "use a probability above 0")
    return value


def _negative_log_likelihood(config: LossConfig, loss: LossName | None, samples: Sequence[SampleLoss]) -> float | None:
    """- ln of the probability of what happened: of the true classes, or of targets 0 and 1; else None."""
    if loss is None:
        terms = [-log_p for sample in samples for log_p in sample.log_probabilities or ()]
        return None if config.probabilities is None else _finite(fsum(terms))
    if loss == "bce" and all({*(sample.targets or ())} <= {0.0, 1.0} for sample in samples):
        return fsum(one for sample in samples for one in sample.losses or ())
    chosen = [one.log_probabilities[one.true] for one in samples if isinstance(one.true, int) and one.log_probabilities]
    return -fsum(chosen) if chosen else None


@dataclass(frozen=True)
class Samples:
    """Rows of scores or probabilities; `true` has the class of each row, or a row of targets for each row."""

    values: Matrix
    true: tuple[int, ...] | Matrix | None
    classes: tuple[str, ...]


def _read(config: LossConfig) -> Samples:
    """The rows and targets that a config names. Raises InputError for what is not a number or does not fit."""
    option, text = (
        ("--probabilities", str(config.probabilities)) if config.scores is None else ("--scores", config.scores)
    )
    table = _table(text)
    if table is None:
        values = parse_matrix(text, option)
        return Samples(values, _targets(config.true, values), tuple(map(str, range(len(values[0])))))
    target = config.true if config.true in table.header else None
    names = tuple(name for name in table.header if name != target)
    require(names, table.path, f"'{target}' is the only column", "add columns of numbers")
    values = _columns(table, names)
    if target is None:
        return Samples(values, _targets(config.true, values), names)
    cells = table.column(target)  # names of classes, indices, or with a single other column its targets
    if len(names) > 1 and all(cell in names for cell in cells):
        return Samples(values, tuple(map(names.index, cells)), names)
    targets = _columns(table, (target,))
    return Samples(values, targets if len(names) == 1 else _classes(targets, len(names), table.path), names)


def _table(text: str) -> "Table | None":
    """The CSV file or standard input that a value names; None for a value that holds the numbers."""
    if text != "-" and user_path(text).suffix.lower() not in _TABLES:
        return None
    from dlnotes_cli.data.table import read_table_argument  # here, since it loads numpy

    return read_table_argument(text, has_header=None)


def _columns(table: "Table", names: Sequence[str]) -> Matrix:
    from dlnotes_cli.data.table import column_numbers

    return tuple(zip(*(column_numbers(table, name).tolist() for name in names), strict=True))


def _targets(text: str | None, values: Matrix) -> tuple[int, ...] | Matrix | None:
    """Targets of the shape of `values`, or one class for each row."""
    if text is None:
        return None
    table = _table(text)
    targets = parse_matrix(text, "--true") if table is None else _columns(table, table.header)
    if (len(targets), len(targets[0])) == (len(values), len(values[0])):
        return targets
    what = f"{len(targets)}x{len(targets[0])} targets for {len(values)}x{len(values[0])} numbers"
    fix = "give the class of each row, or one target for each number"
    require(sum(map(len, targets)) == len(values), "--true", what, fix)
    return _classes(targets, len(values[0]), "--true")


def _classes(targets: Matrix, count: int, where: object) -> tuple[int, ...]:
    classes = [value for row in targets for value in row]
    for value in classes:
        is_class = value == int(value) and 0 <= value < count
        require(is_class, where, f"{value:g} is not one of the {count} classes", f"use 0 to {count - 1}")
    return tuple(map(int, classes))


def _usual_loss(config: LossConfig, rows: Samples) -> LossName | None:
    """The loss of these numbers without `--loss`; None without targets."""
    if rows.true is None:
        return None
    if isinstance(rows.true[0], int):
        return "cross-entropy"
    if config.probabilities is not None:
        return "bce"
    if all(isinstance(row, tuple) and _is_distribution(row) for row in rows.true):
        return "cross-entropy"
    raise InputError("--loss", "several losses compare numbers with numbers", "choose bce, mse, mae, huber or hinge")


def _is_distribution(row: Sequence[float]) -> bool:
    return len(row) > 1 and min(row) >= 0 and abs(fsum(row) - 1) <= _SUM_TOLERANCE


def _check(config: LossConfig, loss: LossName | None, rows: Samples) -> None:
    """Raise InputError for options, numbers and targets that do not fit the loss."""
    has_softmax = config.scores is not None and loss in {None, "cross-entropy", "bce"}
    for name, value, is_used in (
        ("--label-smoothing", config.label_smoothing, loss == "cross-entropy"),
        ("--class-weights", config.class_weights, loss in {"cross-entropy", "nll"}),
        ("--temperature", config.temperature, has_softmax),
    ):
        require(value is None or is_used, name, f"has no effect on {loss or 'numbers without --true'}", "drop it")
    weights, classes = config.class_weights, len(rows.classes)
    what = f"{len(weights or ())} weights for {classes} classes"
    has_all = weights is None or len(weights) == classes
    require(has_all, "--class-weights", what, "give one weight for each class")
    if rows.true is not None:
        _check_targets(loss, rows.true, classes)
    are_logarithms = loss != "nll" or config.scores is None or max(map(max, rows.values)) <= 0
    what = "nll takes logarithms of probabilities, which are not above 0"
    require(are_logarithms, "--scores", what, "use --loss cross-entropy, which applies the log-softmax itself")
    if config.probabilities is not None:
        _check_probabilities(loss, rows.values)


def _check_targets(loss: LossName | None, true: Sequence[int | tuple[float, ...]], classes: int) -> None:
    is_valid = loss in {"cross-entropy", "nll", "hinge"} or not isinstance(true[0], int)
    require(is_valid, "--true", f"{loss} needs one target for each number", "give as many targets as numbers")
    is_valid, what = classes > 1 or loss not in {"cross-entropy", "nll"}, f"{loss} needs at least 2 classes in a row"
    require(is_valid, "--true", what, "give a number for each class, or use bce")
    for number, row in enumerate(true, 1):
        if isinstance(row, int):
            continue
        require(loss != "nll", "--true", "nll needs the class of each row", "give one integer for each row")
        what, is_valid = f"row {number} is no distribution: its numbers sum to {fsum(row):.6g}", _is_distribution(row)
        fix = "give shares of classes that sum to 1, or the class of each row"
        require(loss != "cross-entropy" or is_valid, "--true", what, fix)
        is_valid, what = min(row) >= 0 and max(row) <= 1, f"row {number} has a target outside 0 to 1"
        require(loss != "bce" or is_valid, "--true", what, "give 0 or 1 for each number")
        is_valid, what = {*row} <= {-1.0, 1.0}, f"row {number} has a target other than -1 and 1"
        require(loss != "hinge" or is_valid, "--true", what, "give a sign for each score")


def _check_probabilities(loss: LossName | None, rows: Matrix) -> None:
    require(loss != "hinge", "--probabilities", "hinge compares scores", "use --scores")
    for number, row in enumerate(rows, 1):
        wrong = next((value for value in row if not 0 <= value <= 1), None)
        what = f"row {number}: {wrong or 0:g} is not between 0 and 1"
        require(wrong is None, "--probabilities", what, "correct it, or use --scores")
        are_shares = loss not in {"cross-entropy", "nll"} or _is_distribution(row)
        what = f"row {number} sums to {fsum(row):.6g}, and the probabilities of classes sum to 1"
        require(are_shares, "--probabilities", what, "correct them, or use --scores, which softmax makes sum to 1")
