"""The printed report of a training run."""

from typing import TYPE_CHECKING

from dlnotes_cli.shell import output
from dlnotes_cli.training.gate import check_accuracy
from dlnotes_cli.training.options import ClassifierConfig

if TYPE_CHECKING:
    from dlnotes_cli.training.record import TrainingResult


def print_training(result: "TrainingResult", options: ClassifierConfig) -> None:
    """Print a training result, as tables and paths or as JSON, then check `--min-accuracy`. Raises GateError."""
    if options.json:
        output.document(options.command, result.as_json())
    else:
        _print_table(result)
    check_accuracy(result.test_accuracy, options.min_accuracy)


def _print_table(result: "TrainingResult") -> None:
    splits = (("train", result.train), ("validation", result.validation), ("test", result.test))
    rows = [
        (name, f"{metrics['samples']:,}", f"{metrics['loss']:.4f}", f"{metrics['accuracy']:.4f}")
        for name, metrics in splits
        if metrics is not None
    ]
    numeric = ("samples", "loss", "accuracy")
    output.table(("split", *numeric), rows, numeric)
    timing = result.timing
    output.line()
    output.line(f"{_selection(result)}; {timing.train_s:.1f} s training, {timing.samples_per_s:,.0f} samples/s")
    for path in (result.model_file, *result.plots):
        output.line(path)


def _selection(result: "TrainingResult") -> str:
    """The epoch or the weight decay that validation selected, as text."""
    weight_decay, folds = result.details.get("weight_decay"), result.details.get("folds")
    if weight_decay is not None:
        by_folds = f" by {folds['count']} folds" if folds else ""
        passes = output.counted(result.steps, "pass", "passes")
        return f"weight decay {weight_decay:.3g} chosen{by_folds}, {passes} over the features"
    return f"best epoch {result.best_epoch} of {result.epochs}, {output.counted(result.steps, 'step')}"
