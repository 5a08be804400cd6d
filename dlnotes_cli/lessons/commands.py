"""`dlnotes perceptron` and `dlnotes descend`."""

from importlib import import_module
from typing import TYPE_CHECKING

from dlnotes_cli.lessons.options import DescendConfig, DrawingOptions, PerceptronConfig
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.binding import command

if TYPE_CHECKING:
    from dlnotes_cli.lessons.descend import DescendResult
    from dlnotes_cli.lessons.perceptron import LineResult, PerceptronResult

_ROWS = 10  # of a table of many epochs
_MOST_RUNS = 24  # of a table
_MOST_WEIGHTS = 3  # that fit into 80 columns


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
    from dlnotes_cli.lessons.perceptron import LineResult
    from dlnotes_cli.lessons.perceptron import perceptron as task

    _check_drawings(config)
    result = task(config)
    _write_drawings(config, "perceptron_plot", result)
    if config.json:
        output.document(config.command, result.as_json() | _drawings(config))
    elif isinstance(result, LineResult):
        _print_line(result)
    else:
        _print_epochs(result)
    _finish(config, result.notes)


def _check_drawings(config: DrawingOptions) -> None:
    for option, path in (("--plot", config.plot), ("--animate", config.animate)):
        if path is not None:
            files.check_output_file(option, path, overwrite=config.overwrite)


def _write_drawings(config: DrawingOptions, module: str, result: object) -> None:
    """Write plot and animation of a result, drawn by a module, which is loaded only where it is needed."""
    for path, function in ((config.plot, "draw"), (config.animate, "animate")):
        if path is not None:
            drawing = getattr(import_module(f"dlnotes_cli.lessons.{module}"), function)
            files.atomic_write(path, drawing(result))


def _drawings(config: DrawingOptions) -> dict[str, str | None]:
    """The paths of the drawings, for the JSON document."""
    return {name: None if path is None else str(path) for name, path in _paths(config)}


def _paths(config: DrawingOptions) -> "list[tuple[str, object]]":
    return [("plot", config.plot), ("animation", config.animate)]


def _finish(config: PerceptronConfig | DescendConfig, notes: tuple[str, ...]) -> None:
    """Print the paths of the drawings, unless `--json` has them, and the notes."""
    for _, path in _paths(config):
        if path is not None and not config.json:
            output.line(str(path))
    for note in notes:
        output.note(note)


def _print_epochs(result: "PerceptronResult") -> None:
    last = result.epochs[-1].epoch
    stride = max(1, -(-last // _ROWS))
    shown = [one for one in result.epochs if one.epoch % stride == min(1, stride - 1) or one.epoch in {0, last}]
    names = [f"w {output.printable(name)}" for name in result.points.columns[:_MOST_WEIGHTS]]
    columns = ["epoch", *names, "bias", "errors", "accuracy", "loss"]
    rows = [
        [
            str(one.epoch),
            *map(output.number, (*one.weights[: len(names)], one.bias)),
            str(one.errors),
            f"{one.accuracy:.4f}",
            f"{one.loss:.4f}",
        ]
        for one in shown
    ]
    output.table(columns, rows, numeric=columns)
    output.line()
    best = result.best
    if result.rule == "step" and not result.epochs[-1].errors:
        output.line(f"separated after {output.counted(last, 'epoch')}")
    else:
        output.line(f"fewest errors: {best.errors} of {len(result.points.y)} points, after epoch {best.epoch}")


def _print_line(result: "LineResult") -> None:
    names = [f"w{i}" for i in range(1, len(result.point) + 1)]
    columns = ["step", *names, "bias", "score", "predicted"]
    rows = [
        [str(one.step), *map(output.number, (*one.weights, one.bias, one.score)), str(int(one.score >= 0))]
        for one in result.steps
    ]
    output.table(columns, rows, numeric=columns)
    output.line()
    after = result.right_after
    output.line(
        f"the point is classified correctly after {output.counted(after, 'update')}"
        if after is not None
        else "still wrong"
    )


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

    _check_drawings(config)
    result = task(config)
    _write_drawings(config, "descend_plot", result)
    if config.json:
        output.document(config.command, result.as_json(is_verbose=config.verbose) | _drawings(config))
    else:
        _print_runs(result, has_restarts=config.restarts is not None)
    _finish(config, ())


def _print_runs(result: "DescendResult", *, has_restarts: bool) -> None:
    columns = ["optimizer", "lr", *(["start"] if has_restarts else []), "end", "value", "reached", "steps"]
    rows = [
        [
            run.optimizer, f"{run.lr:g}", *([_point(run.path[0])] if has_restarts else []), _point(run.end),
            output.number(run.value), run.kind,
            "-" if run.steps is None else str(run.steps),
        ]
        for run in result.runs[:_MOST_RUNS]
    ]  # fmt: skip
    output.table(columns, rows, numeric={"lr", "value", "steps"})
    output.line()
    if len(result.runs) > _MOST_RUNS:
        output.line(f"… {len(result.runs) - _MOST_RUNS} more runs; --json has all")
    best = result.best
    if best is None:
        output.line("no run reached a minimum")
    else:
        output.line(f"lowest minimum: {output.number(best.value)} at {_point(best.end)}, by {best.optimizer}")


def _point(point: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.3g}" for value in point)
