"""`dlnotes evaluate`."""

import typer

from dlnotes_cli.classify.options_evaluate import EvaluateConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import add_command
from dlnotes_cli.training.gate import check_accuracy

EXAMPLES = (
    "dlnotes evaluate runs/digits",
    "dlnotes evaluate runs/digits --data digits --split val --json",
)


def evaluate(config: EvaluateConfig) -> None:
    """Measure a trained classifier on labeled data: accuracy, loss, and precision, recall and F1 of each class."""
    from dlnotes_cli.classify.evaluate import evaluate_model

    result = evaluate_model(config)
    if config.json:
        output.document(config.command, result.as_json())
    elif config.csv == "-":
        output.raw(result.as_csv())
    else:
        rows: list[tuple[str, ...]] = [
            (s.name, f"{s.precision:.4f}", f"{s.recall:.4f}", f"{s.f1:.4f}", f"{s.support:,}") for s in result.scores
        ]
        macro = result.evaluation.macro_average()
        samples = f"{result.evaluation.samples:,}"
        rows.append(("macro average", *(f"{macro[name]:.4f}" for name in ("precision", "recall", "f1")), samples))
        output.table(("class", "precision", "recall", "f1", "support"), rows)
        output.line()
        tops = "".join(f", top-{k} {accuracy:.4f}" for k, accuracy in result.top_accuracies.items())
        found = f"accuracy {result.evaluation.accuracy:.4f}{tops}, loss {result.evaluation.loss:.4f}"
        output.line(f"{found} on {samples} samples of {result.data} ({result.split})")
        for path in result.plots:
            output.line(str(path))
    check_accuracy(result.evaluation.accuracy, config.min_accuracy)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, evaluate, panel="Use", examples=EXAMPLES)
