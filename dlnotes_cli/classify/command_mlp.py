"""`dlnotes train-mlp`."""

import typer

from dlnotes_cli.classify.options_mlp import TrainMlpConfig
from dlnotes_cli.shell.binding import add_command
from dlnotes_cli.training.report import print_training

EXAMPLES = (
    "dlnotes train-mlp",
    "dlnotes train-mlp --recipe notes --epochs 5 --hidden 128,64 --out runs/notes",
)


def train_mlp(config: TrainMlpConfig) -> None:
    """Train a multi-layer perceptron on images or on a CSV table."""
    from dlnotes_cli.classify.train_mlp import train_mlp as task

    print_training(task(config), config)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, train_mlp, panel="Train", examples=EXAMPLES)
