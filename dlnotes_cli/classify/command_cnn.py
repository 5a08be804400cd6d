"""`dlnotes train-cnn`."""

import typer

from dlnotes_cli.classify.options_cnn import TrainCnnConfig
from dlnotes_cli.shapes.course import course_notes
from dlnotes_cli.shapes.table import report_lines
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import add_command
from dlnotes_cli.training.report import print_training

EXAMPLES = (
    "dlnotes train-cnn --epochs 10",
    "dlnotes train-cnn --recipe notes --arch fast --data digits --print",
)


def train_cnn(config: TrainCnnConfig) -> None:
    """Train a convolutional network on images."""
    if config.print:
        from dlnotes_cli.classify.train_cnn import report_network

        report = report_network(config)
        if config.json:
            output.document(config.command, report.as_json())
        else:
            for line in report_lines(report):
                output.line(line)
        for note in course_notes(report):
            output.note(f"dlnotes: note: {note}")
    else:
        from dlnotes_cli.classify.train_cnn import train_cnn as task

        print_training(task(config), config)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, train_cnn, panel="Train", examples=EXAMPLES)
