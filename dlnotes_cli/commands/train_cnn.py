"""`dlnotes train-cnn`."""

import typer

from dlnotes_cli.commands.binding import add_command
from dlnotes_cli.commands.conv_shape import show_shapes
from dlnotes_cli.commands.training import show_training
from dlnotes_cli.configs.train_cnn import TrainCnnConfig

EXAMPLES = (
    "dlnotes train-cnn --epochs 10",
    "dlnotes train-cnn --recipe notes --arch fast --data digits --print",
)


def train_cnn(config: TrainCnnConfig) -> None:
    """Train a convolutional network on pictures."""
    if config.print:
        from dlnotes_cli.tasks.conv_shape import conv_shape
        from dlnotes_cli.tasks.train_cnn import network_of

        asked = network_of(config)
        show_shapes(conv_shape(asked), asked, config.command)
    else:
        from dlnotes_cli.tasks.train_cnn import train_cnn as task

        show_training(task(config), config)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, train_cnn, panel="Train", examples=EXAMPLES)
