"""How the result of a training command is shown."""

from typing import TYPE_CHECKING, Any

from dlnotes_cli.shell import output
from dlnotes_cli.training.gate import check_accuracy
from dlnotes_cli.training.options import ClassifierConfig

if TYPE_CHECKING:
    from dlnotes_cli.training.record import TrainingResult


def show_training(result: "TrainingResult", config: ClassifierConfig) -> None:
    """Print a training result, as a table and paths or as JSON, then hold the gate."""
    fields = result.fields
    if config.json:
        output.document(config.command, fields)
    else:
        parts = [(name, fields[name]) for name in ("train", "validation", "test") if fields[name] is not None]
        rows = [(name, f"{p['samples']:,}", f"{p['loss']:.4f}", f"{p['accuracy']:.4f}") for name, p in parts]
        numeric = ("samples", "loss", "accuracy")
        output.table(("split", *numeric), rows, numeric)
        timing = fields["timing"]
        output.line()
        output.line(f"{_choice(fields)}; {timing['train_s']:.1f} s training, {timing['samples_per_s']:,.0f} samples/s")
        for path in (fields["model_file"], *fields["plots"]):
            output.line(path)
    check_accuracy(result.test_accuracy, config.min_accuracy)


def _choice(fields: dict[str, Any]) -> str:
    """What was chosen by validation."""
    if fields.get("weight_decay") is not None:
        by = f" by {fields['folds']['count']} folds" if fields["folds"] else ""
        return f"weight decay {fields['weight_decay']:.3g} chosen{by}, {fields['steps']:,} passes over the features"
    return f"best epoch {fields['best_epoch']} of {fields['epochs']}, {fields['steps']:,} steps"
