"""`dlnotes loss`."""

from dlnotes_cli.lessons.loss.options import LossConfig
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.show import check_outputs, show


@command(
    panel="Calculate",
    task="lessons.loss.loss:calculate_loss -> LossResult",
    examples=(
        'dlnotes loss --scores "2 1 0" --true 0',
        'dlnotes loss --probabilities ".8 .7 .1" --true "1 1 0" --explain',
    ),
)
def loss(config: LossConfig) -> None:
    """Calculate losses, softmax, likelihood and gradients from scores or probabilities.

    Prints for each class or number: score, target, share of the sum, softmax or
    sigmoid, its logarithm, and the gradient of the loss with respect to the score.
    Losses agree with torch.nn.functional; logarithms are natural (nats), next to bits.
    Cross-entropy also takes distributions in --true, one number for each class.
    """
    from dlnotes_cli.lessons.drawings import write_drawings
    from dlnotes_cli.lessons.loss.loss import calculate_loss

    check_outputs(config)
    result = calculate_loss(config)
    write_drawings(result, "loss.plot")
    show(result, config)
