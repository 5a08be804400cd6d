"""`dlnotes perceptron` and `dlnotes descend`."""

from dlnotes_cli.lessons.options import DescendConfig, PerceptronConfig
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.show import check_outputs, show


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
    from dlnotes_cli.lessons.drawings import write_drawings
    from dlnotes_cli.lessons.perceptron import perceptron as task

    check_outputs(config)
    result = task(config)
    write_drawings(result, "perceptron_plot")
    show(result, config)


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
    from dlnotes_cli.lessons.descend import descend as task
    from dlnotes_cli.lessons.drawings import write_drawings

    check_outputs(config)
    result = task(config)
    write_drawings(result, "descend_plot")
    show(result, config)
