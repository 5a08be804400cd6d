"""The printed report of a training run, and its gate `--min-accuracy`, which scripts read from the exit code."""

import math
from typing import TYPE_CHECKING

from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import GateError, InputError
from dlnotes_cli.training.options import ClassifierConfig

if TYPE_CHECKING:
    from dlnotes_cli.training.results import ClassifierResult


def print_training(result: "ClassifierResult", options: ClassifierConfig) -> None:
    """Print a training result, as tables and paths or as JSON, then check `--min-accuracy`. Raises GateError."""
    if options.json:
        output.document(options.command, result.as_json())
    else:
        _print_table(result)
    check_accuracy(result.test_accuracy, options.min_accuracy)


def _print_table(result: "ClassifierResult") -> None:
    splits = (("train", result.train), ("validation", result.validation), ("test", result.test))
    rows = [
        (
            name,
            f"{metrics.samples:,}",
            _decimals(metrics.loss),
            _decimals(metrics.accuracy),
            _decimals(result.majority.get(name, math.nan)),
        )
        for name, metrics in splits
        if metrics is not None and metrics.samples
    ]
    numeric = ("samples", "loss", "accuracy", "majority")
    output.table(("split", *numeric), rows, numeric)
    timing = result.timing
    output.line()
    output.line(f"{result.selection}; {timing.train_s:.1f} s training, {timing.samples_per_s:,.0f} samples/s")
    if result.test is None:
        output.line("no test split: validation also selected the weights, so its accuracy is optimistic")
    for path in (result.model_file, *result.plots):
        output.line(path)


def _decimals(value: float) -> str:
    """A metric with four decimals; a dash where it is not finite."""
    return f"{value:.4f}" if math.isfinite(value) else "-"


def require_test_split(min_accuracy: float | None, data: str, *, has_test_split: bool) -> None:
    """Refuse `--min-accuracy` for data without a test split. Raises InputError."""
    if min_accuracy is not None and not has_test_split:
        raise InputError("--min-accuracy", f"{data} has no test split", "add one, or drop the option")


def check_accuracy(accuracy: float | None, min_accuracy: float | None) -> None:
    """Raise GateError for an accuracy below `--min-accuracy`; call it after the result is printed."""
    if min_accuracy is not None and (accuracy is None or accuracy < min_accuracy):
        measured = "none" if accuracy is None else f"{accuracy:.4f}"
        fix = "train longer, or use a lower --min-accuracy"
        raise GateError("--min-accuracy", f"accuracy {measured} is below {min_accuracy:g}", fix)
