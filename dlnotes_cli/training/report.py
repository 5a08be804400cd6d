"""The printed report of a training run."""

import math
from typing import TYPE_CHECKING

from dlnotes_cli.shell import output
from dlnotes_cli.training.gate import check_accuracy
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
