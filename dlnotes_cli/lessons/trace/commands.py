"""`dlnotes trace`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlnotes_cli.lessons.trace.options import TraceConfig
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.binding import command

if TYPE_CHECKING:
    from torch import Tensor

    from dlnotes_cli.lessons.trace.results import LayerTrace, TraceResult
    from dlnotes_cli.lessons.trace.text_trace import TextTrace

_MOST_COLUMNS, _MOST_ROWS = 6, 8  # of a tensor that is printed in full
_MOST_STEPS = 12  # of a cell
_CELL = 8  # characters of a number in a row


@command(
    panel="Calculate",
    task="lessons.trace.trace:trace -> TraceResult",
    also=("lessons.trace.text_trace:trace_text -> TextTrace",),
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
    from dlnotes_cli.lessons.trace import text_trace as text_task

    if config.plot is not None:
        files.check_output_file("--plot", config.plot, overwrite=config.overwrite)
    if text_task.names_a_model(config):
        _finish(config, text_task.trace_text(config))
        return
    from dlnotes_cli.lessons.trace.trace import trace as task

    _finish(config, task(config))


def _finish(config: TraceConfig, result: "TraceResult | TextTrace") -> None:
    """Draw, then print."""
    from dlnotes_cli.lessons.trace.results import TraceResult

    if config.plot is not None:
        from dlnotes_cli.lessons.trace import plot

        files.atomic_write(config.plot, plot.draw(result))
    if config.json:
        output.document(config.command, result.as_json())
    elif isinstance(result, TraceResult):
        _print_trace(result)
    else:
        _print_text(result)
    if config.plot is not None and not config.json:
        output.line(str(config.plot))
    for note in result.notes:
        output.note(note)


def _print_trace(result: "TraceResult") -> None:
    if result.curves:
        _print_curves(result)
        return
    if result.config.quiet:
        _print_totals(result)
        return
    if result.input is not None:
        for line in _block("input", result.input, width=17):
            output.line(line)
    if result.input_gradient is not None:
        for line in _block("gradient", result.input_gradient, width=17):
            output.line(line)
    for position, layer in enumerate(result.layers, 1):
        output.line()
        output.line(f"{position}  {layer.text}")
        for line in _layer_lines(layer):
            output.line(f"   {line}")
    output.line()
    _print_totals(result)
    _print_comparisons(result)
    _print_checks(result)
    _print_descent(result)


def _print_totals(result: "TraceResult") -> None:
    output.line(f"{result.config.chosen_loss:<17}{output.number(result.value)}")
    output.line(f"parameters       {result.parameters:,}")


def _layer_lines(layer: "LayerTrace") -> Iterator[str]:
    for step, gates in enumerate(layer.steps[:_MOST_STEPS], 1):
        from dlnotes_cli.lessons.trace.cells import LABELS

        for name, values in gates.items():
            yield from _block(f"step {step:<3} {LABELS[name]:<12} {name}", values, width=23)
    if len(layer.steps) > _MOST_STEPS:
        yield f"… {len(layer.steps) - _MOST_STEPS:,} more steps; --json has all"
    if layer.steps:
        yield f"{'state':<14}{'x'.join(map(str, (1, *layer.steps[-1]['h'].shape)))}"
    yield from _block("output", layer.output)
    if layer.derivative is not None:
        yield from _block("derivative", layer.derivative)
    yield from _block("gradient", layer.gradient)
    for parameter in layer.parameters:
        yield from _block(parameter.name.partition(".")[2], parameter.value)
        yield from _block("  gradient", parameter.gradient)


def _block(label: str, tensor: "Tensor", width: int = 14) -> Iterator[str]:
    """A label and a small tensor, one line for each row; or the shape and norm of a large one."""
    rows = tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim else tensor.reshape(1, 1)
    if rows.shape[1] > _MOST_COLUMNS or len(rows) > _MOST_ROWS:
        size = "x".join(map(str, tensor.shape))
        yield f"{label:<{width - 1}} {size}, norm {output.number(float(tensor.double().norm()))}"
        return
    for row in rows.tolist():
        yield f"{label:<{width}}" + "".join(f" {_cell(value):>{_CELL}}" for value in row)
        label = ""


def _cell(value: float) -> str:
    """A number of at most `_CELL` characters."""
    text = output.number(value)
    digits = 4
    while len(text) > _CELL and digits > 1:
        digits -= 1
        text = f"{value:.{digits}g}"
    return text


def _print_curves(result: "TraceResult") -> None:
    columns = ["activation", "f(-2)", "f(0)", "f(2)", "f'(-2)", "f'(0)", "f'(2)", "largest f'"]
    rows = []
    for curve in result.curves:
        values, slopes = zip(*(curve.at(x) for x in (-2.0, 0.0, 2.0)), strict=True)
        rows.append([curve.name, *(f"{value:.4f}" for value in (*values, *slopes, curve.largest_slope))])
    output.table(columns, rows, numeric=set(columns[1:]))


def _print_comparisons(result: "TraceResult") -> None:
    if result.comparisons:
        output.line()
        columns = ["layer", *(one.activation for one in result.comparisons)]
        cells = [[f"{norm:.3g}" for norm in one.norms] for one in result.comparisons]
        rows = [[str(i + 1), *row] for i, row in enumerate(zip(*cells, strict=True))]
        output.table(columns, rows, numeric=columns)


def _print_checks(result: "TraceResult") -> None:
    for check in result.checks:
        output.line()
        output.line(f"{check.name}: autograd and finite differences, at most {check.largest_difference:.1e} apart")
        for label, tensor in (("autograd", check.autograd), ("differences", check.differences)):
            for line in _block(label, tensor):
                output.line(f"   {line}")


def _print_descent(result: "TraceResult") -> None:
    if result.descent is None:
        return
    before = {parameter.name: parameter.value for layer in result.layers for parameter in layer.parameters}
    losses = result.descent.losses
    output.line()
    updates = output.counted(len(losses) - 1, "update")
    output.line(f"loss {output.number(losses[0])}, after {updates} {output.number(losses[-1])}")
    for name, value in result.descent.after:
        for line in (*_block(name, before[name]), *_block("  after", value)):
            output.line(f"   {line}")


def _print_text(result: "TextTrace") -> None:
    rows = [[str(unit.layer), str(unit.unit), unit.follows, f"{unit.correlation:.3f}"] for unit in result.units]
    output.table(["layer", "unit", "follows", "correlation"], rows, numeric={"layer", "unit", "correlation"})
