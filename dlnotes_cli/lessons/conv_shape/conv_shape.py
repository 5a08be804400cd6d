"""`conv-shape`: from options to a result, and one filter in the letters of the course.

Each kind of question is imported where it is asked: one filter needs no parser, no layers and no solver, which take a
sixth of the time of `conv-shape -W 130 -F 3`.
"""

from typing import TYPE_CHECKING, Any

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult, FormulaResult, SolveResult
from dlnotes_cli.shapes.choices import Hyperparameter
from dlnotes_cli.shapes.course import rounding_note
from dlnotes_cli.shapes.sliding_window import SlidingWindow, TransposedWindow
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from dlnotes_cli.shapes.solver import Axis

_MOST_SOLUTIONS = 10_000  # in the output


def conv_shape(config: ConvShapeConfig) -> ConvShapeResult:
    """Analyze a stack of layers or calculate one filter; raises InputError where PyTorch would raise an error."""
    if config.compare:
        from dlnotes_cli.lessons.conv_shape.comparison import compare_networks

        return compare_networks(config)
    if config.solve is not None:
        return _solve_size(config, config.solve)
    if config.letters:
        return _calculate_filter(config)
    from dlnotes_cli.lessons.conv_shape.stack import analyze_stack, matrix_sizes

    return matrix_sizes(config) if config.gram and not config.has_stack else analyze_stack(config)


def _calculate_filter(config: ConvShapeConfig) -> FormulaResult:
    """Apply the formulas whose letters are set; raises InputError where none has all of its letters."""
    kernel, filters, depth = config.kernel, config.filters, config.depth
    if kernel is None:
        raise InputError("-F", "the size of the filter is missing", "add -W and -F, or -F, -K and -D")
    values: dict[str, Any] = {}
    formulas: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    if config.width is not None:
        window = _window(config.width, kernel, config)
        values |= {"width": config.width, "stride": window.stride, "padding": window.pad_before}
        values["output"], formulas["size"] = window.output, window.formula
        notes = tuple(filter(None, [rounding_note(window)]))
    if filters and depth:  # K*F*F*D weights and K biases
        total = filters * (kernel * kernel * depth + 1)
        values |= {"filters": filters, "depth": depth, "parameters": total}
        formulas["parameters"] = f"({filters} * {kernel}*{kernel} * {depth}) + {filters} = {total}"
    if not formulas:
        raise InputError(config.letters[0], "is not enough for a formula", "add -W and -F, or -F, -K and -D")
    return FormulaResult(kernel=kernel, **values, formulas=formulas if config.explain else None, notes=notes)


def _window(width: int, kernel: int, config: ConvShapeConfig) -> SlidingWindow:
    padding = config.padding or 0
    window = SlidingWindow(width, kernel, config.stride or 1, padding, padding)
    if window.output < 1:
        what = f"a filter of {kernel} does not fit into {width + 2 * padding} (padding included): {window.formula}"
        raise InputError("-F", what, "use a smaller filter or more padding")
    return window


def _solve_size(config: ConvShapeConfig, unknown: Hyperparameter) -> SolveResult:
    """Find the values of one setting that give an output size; raises InputError where there are none."""
    from dlnotes_cli.shapes.solver import solve

    target, axes = config.want or 0, _axes(config)
    solutions = solve(unknown, target, axes)
    values = tuple(solutions.first(_MOST_SOLUTIONS))
    formulas = tuple(axes[0].with_value(unknown, value).formula for value in values) if config.explain else ()
    notes: tuple[str, ...] = ()
    if solutions.highest is None:
        notes = ("every larger value is a solution too",)
    elif solutions.highest > values[-1]:
        notes = (f"every larger value up to {solutions.highest} is a solution too",)
    return SolveResult(unknown, target, solutions.lowest, solutions.highest, values, formulas, notes=notes)


def _axes(config: ConvShapeConfig) -> "tuple[Axis, ...]":
    """The axes to solve, from the course's letters or from one layer."""
    from dlnotes_cli.shapes.solver import Axis, layer_axes

    if not config.letters:
        from dlnotes_cli.lessons.conv_shape.stack import read_list

        layers, size = read_list(config)
        if len(layers) != 1:
            raise InputError("--solve", f"works on one layer, got {len(layers)}", "use one layer and its --input")
        return layer_axes(layers[0], size)
    if config.width is None:
        raise InputError("--solve", "needs the size of the input", "add -W")
    if config.kernel is None and config.solve != "kernel":
        raise InputError("--solve", "needs the size of the filter", "add -F")
    if config.solve != "output_padding" and getattr(config, str(config.solve)) is not None:
        raise InputError("--solve", f"{config.solve} is the unknown, but has a value", "leave its letter out")
    width, kernel, stride, padding = config.width, config.kernel or 1, config.stride or 1, config.padding or 0
    if config.solve == "output_padding":
        return (Axis(TransposedWindow(width, kernel, stride, padding)),)
    return (Axis(SlidingWindow(width, kernel, stride, padding, padding)),)
