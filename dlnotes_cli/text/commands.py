"""`dlnotes train-text`."""

from typing import TYPE_CHECKING

from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.text.options import TrainTextConfig

if TYPE_CHECKING:
    from dlnotes_cli.text.results import TextModelScores, TextResult
    from dlnotes_cli.training.metrics import Metrics


@command(
    panel="Train",
    task="text.train_text:train_text -> TextResult",
    also=("text.results:TextModelScores",),
    examples=(
        "dlnotes train-text --max-steps 40 --out runs/remarks",
        "dlnotes train-text --model linear --json",
    ),
)
def train_text(config: TrainTextConfig) -> None:
    """Train a text classifier (sentiment, topic): a recurrent network, and a linear baseline on the same texts."""
    from dlnotes_cli.text.train_text import train_text as task

    result = task(config)
    if config.json:
        output.document(config.command, to_json(result))
    else:
        _print(result)
    result.check(config)


def _print(result: "TextResult") -> None:
    numeric = ("parameters", "validation accuracy", "loss", "test accuracy", "test loss", "seconds")
    output.table(("model", *numeric), [_row(model) for model in result.models], numeric)
    output.line()
    output.line(result.verdict)
    counts = ", ".join(f"{count:,} {split}" for split, count in result.data.counts.items())
    is_linear = len(result.models) == 1
    selection = output.counted(result.steps, "iteration") if is_linear else result.selection
    output.line(f"{counts} texts; {selection}")
    if result.test is None:
        output.line("no test split: validation also selected the model, so its accuracy is optimistic")
    for path in (result.model_file, *result.plots):
        output.line(path)


def _row(model: "TextModelScores") -> tuple[str, ...]:
    name = "recurrent network" if model.name == "rnn" else "TF-IDF + logistic regression"
    metrics = (*_cells(model.validation), *_cells(model.test))
    return name, f"{model.parameters:,}", *metrics, f"{model.train_s:.1f}"


def _cells(metrics: "Metrics | None") -> tuple[str, str]:
    return ("-", "-") if metrics is None else (f"{metrics.accuracy:.4f}", f"{metrics.loss:.4f}")
