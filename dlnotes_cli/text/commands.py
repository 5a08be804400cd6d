"""`dlnotes train-text`."""

from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.show import show
from dlnotes_cli.text.options import TrainTextConfig


@command(
    panel="Train",
    task="text.train_text:train_text -> TextResult",
    also=("text.description:TextModelScores",),
    examples=(
        "dlnotes train-text --max-steps 40 --out runs/remarks",
        "dlnotes train-text --model linear --json",
    ),
)
def train_text(config: TrainTextConfig) -> None:
    """Train a text classifier (sentiment, topic): a recurrent network, and a linear baseline on the same texts."""
    from dlnotes_cli.text.train_text import train_text as task

    show(task(config), config)
