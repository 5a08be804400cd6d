"""`dlnotes predict`."""

from typing import TYPE_CHECKING

import typer

from dlnotes_cli.classify.options_predict import PredictConfig
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.binding import add_command
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dlnotes_cli.classify.predict import Prediction

EXAMPLES = (
    "dlnotes predict runs/digits runs/digits/predictions.png",
    "dlnotes predict runs/digits 'runs/digits/*.png' --top 2 --json",
)


def predict(config: PredictConfig) -> None:
    """Say what a trained classifier sees in images or in the rows of a CSV table."""
    from dlnotes_cli.classify.predict import Predictor, predictions_csv

    forms = [
        name
        for name, asked in (("--json", config.json), ("--jsonl", config.jsonl), ("--csv -", config.csv == "-"))
        if asked
    ]
    if len(forms) > 1:
        raise InputError(forms[0], f"and {forms[1]} both print to stdout", "choose one")
    predictor = Predictor(config)
    predictions = []
    for prediction in predictor:
        predictions.append(prediction)
        if config.jsonl:
            output.json_line(prediction.as_json())
    if config.csv is not None:
        text = predictions_csv(predictions, min(config.top, len(predictor.model.classes)))
        if config.csv == "-":
            output.raw(text)
        else:
            files.write_text(files.user_path(config.csv), text)
    _show(config, predictions, str(predictor.model.path))


def _show(config: PredictConfig, predictions: "Sequence[Prediction]", model: str) -> None:
    bad = [prediction for prediction in predictions if prediction.error]
    if config.json:
        fields = {"model_file": model, "predictions": [p.as_json() for p in predictions], "skipped": len(bad)}
        output.document(config.command, fields)
    elif not config.jsonl and config.csv != "-":
        output.table(("item", "class", "probability", "then"), [_row(prediction) for prediction in predictions])
    for prediction in bad:
        output.warn(f"skipped {prediction.error}")


def _row(prediction: "Prediction") -> tuple[str, ...]:
    if prediction.error:
        return prediction.item, "not read", "-", ""
    (name, share), *others = prediction.top
    return prediction.item, name, f"{share:.4f}", ", ".join(f"{other} {part:.4f}" for other, part in others)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, predict, panel="Use", examples=EXAMPLES)
