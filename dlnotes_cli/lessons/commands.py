"""`dlnotes loss`, `trace`, `perceptron` and `descend`."""

from dlnotes_cli.lessons.options import DescendConfig, LossConfig, PerceptronConfig, TraceConfig
from dlnotes_cli.shell.binding import command


@command(
    panel="Calculate",
    task="lessons.loss:calculate_loss -> LossResult",
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


@command(
    panel="Calculate",
    task="lessons.trace.trace:trace -> TraceResult | TextTrace",
    also=("lessons.trace.text_trace:trace_text",),
    examples=(
        'dlnotes trace "Linear(3, 2); Tanh()" --input 1x3 --weights seed:7',
        'dlnotes trace "LSTM(1, 1)" --input 1 --state 0.5 --memory 1 --weights ones',
    ),
)
def trace(config: TraceConfig) -> None:
    """Follow numbers through a network, forward and back, and through the gates of recurrent cells.

    Prints the output of each layer, the local derivative (one number for each
    output of an activation, else the Jacobian matrix) and the gradient of the
    loss with respect to the output; for a recurrent layer, every gate at every
    time step.
    Everything is computed in float64.
    """


@command(
    panel="Learn",
    task="lessons.perceptron:perceptron -> PerceptronResult | LineResult",
    examples=(
        "dlnotes perceptron --gate and",
        "dlnotes perceptron --line 3,4,-10 --point 4,5 --label 0 --lr 0.1",
    ),
)
def perceptron(config: PerceptronConfig) -> None:
    """Train a perceptron on a logical gate or on points of a CSV file, or apply the update rule to one line.

    A point is predicted 1 where w x + b >= 0. For each wrong point, the learning
    rate times the point is added to the weights (class 1) or subtracted (class 0).
    With --rule sigmoid, the output is a probability, and every point counts.
    Errors and loss are measured after each epoch, over all points.
    """


@command(
    panel="Learn",
    task="lessons.descend:descend -> DescendResult",
    examples=(
        "dlnotes descend --surface ravine --optimizer sgd,momentum,adam",
        'dlnotes descend --surface "0.1*x**2 + sin(3*x)" --restarts 8',
    ),
)
def descend(config: DescendConfig) -> None:
    """Compare optimizers on a test surface: where each ends, and after how many steps.

    The optimizers are those of torch.optim; gradients come from autograd.
    A run has reached a minimum when its distance to it stays below 1% of the diagonal of the drawn region.
    """
