"""Which loss belongs to which numbers, and the errors where options, numbers and targets do not fit."""

from collections.abc import Sequence
from math import fsum

from dlnotes_cli.lessons.loss.options import LossConfig, LossName
from dlnotes_cli.lessons.loss.samples import Samples
from dlnotes_cli.shell.errors import InputError

_BY_CLASS = {"cross-entropy", "nll", "hinge"}  # losses whose targets may be classes
_SUM_TOLERANCE = 0.005  # probabilities that people type are rounded


def usual_loss(config: LossConfig, rows: Samples) -> LossName | None:
    """The loss of these numbers without `--loss`; None without targets."""
    if rows.true is None:
        return None
    if isinstance(rows.true[0], int):
        return "cross-entropy"
    if config.probabilities is not None:
        return "bce"
    if all(_is_distribution(row) for row in rows.true if isinstance(row, tuple)):
        return "cross-entropy"
    raise InputError("--loss", "several losses compare numbers with numbers", "choose bce, mse, mae, huber or hinge")


def _is_distribution(row: Sequence[float]) -> bool:
    return len(row) > 1 and min(row) >= 0 and abs(fsum(row) - 1) <= _SUM_TOLERANCE


def check_options(config: LossConfig, loss: LossName | None, rows: Samples) -> None:
    """Raise InputError for options, numbers and targets that do not fit the loss."""
    unused = {
        "--label-smoothing": config.label_smoothing is not None and loss != "cross-entropy",
        "--class-weights": config.class_weights is not None and loss not in {"cross-entropy", "nll"},
        "--temperature": config.temperature is not None
        and (config.scores is None or loss not in {None, "cross-entropy", "bce"}),
    }
    for name, is_unused in unused.items():
        if is_unused:
            raise InputError(name, f"has no effect on {loss or 'numbers without --true'}", "drop it")
    if config.class_weights is not None and len(config.class_weights) != len(rows.classes):
        what = f"{len(config.class_weights)} weights for {len(rows.classes)} classes"
        raise InputError("--class-weights", what, "give one weight for each class")
    _check_targets(loss, rows)
    if loss == "nll" and config.scores is not None and max(map(max, rows.values)) > 0:
        what = "nll takes logarithms of probabilities, which are not above 0"
        raise InputError("--scores", what, "use --loss cross-entropy, which applies the log-softmax itself")
    if config.probabilities is not None:
        _check_probabilities(loss, rows)


def _check_targets(loss: LossName | None, rows: Samples) -> None:
    if rows.true is None:
        return
    has_classes = isinstance(rows.true[0], int)
    if has_classes and loss not in _BY_CLASS:
        raise InputError("--true", f"{loss} needs one target for each number", "give as many targets as numbers")
    if loss in _BY_CLASS and len(rows.classes) == 1 and loss != "hinge":
        raise InputError(
            "--true", f"{loss} needs at least 2 classes in a row", "give a number for each class, or use bce"
        )
    true: Sequence[int | tuple[float, ...]] = rows.true
    for number, row in enumerate(true, 1):
        if isinstance(row, int):
            continue
        if loss == "nll":
            raise InputError("--true", "nll needs the class of each row", "give one integer for each row")
        if loss == "cross-entropy" and not _is_distribution(row):
            what = f"row {number} is no distribution: its numbers sum to {fsum(row):.6g}"
            raise InputError("--true", what, "give shares of classes that sum to 1, or the class of each row")
        if loss == "bce" and not all(0 <= value <= 1 for value in row):
            raise InputError("--true", f"row {number} has a target outside 0 to 1", "give 0 or 1 for each number")
        if loss == "hinge" and not set(row) <= {-1.0, 1.0}:
            raise InputError("--true", f"row {number} has a target other than -1 and 1", "give a sign for each score")


def _check_probabilities(loss: LossName | None, rows: Samples) -> None:
    if loss == "hinge":
        raise InputError("--probabilities", "hinge compares scores", "use --scores")
    for number, row in enumerate(rows.values, 1):
        wrong = next((value for value in row if not 0 <= value <= 1), None)
        if wrong is not None:
            raise InputError(
                "--probabilities", f"row {number}: {wrong:g} is not between 0 and 1", "correct it, or use --scores"
            )
        if loss in {"cross-entropy", "nll"} and not _is_distribution(row):
            what = f"row {number} sums to {fsum(row):.6g}, and the probabilities of classes sum to 1"
            raise InputError("--probabilities", what, "correct them, or use --scores, which softmax makes sum to 1")
