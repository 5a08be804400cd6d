"""`conv-shape`: from options to a result, and one filter in the letters of the course.

Each kind of question is imported where it is asked: one filter needs no parser, no layers and no solver, which take a
sixth of the time of `conv-shape -W 130 -F 3`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.shapes.choices import Hyperparameter
from dlnotes_cli.shapes.sliding_window import SlidingWindow, TransposedWindow
from dlnotes_cli.shell.codec import HIDDEN, OPTIONAL, named
from dlnotes_cli.shell.errors import InputError, require

if TYPE_CHECKING:
    from dlnotes_cli.lessons.conv_shape.stack import ComparisonResult, GramResult, StackResult
    from dlnotes_cli.shapes.solver import Axis

_MOST_SOLUTIONS = 10_000  # in the output


@dataclass(frozen=True, kw_only=True)
class FormulaResult:
    """The course's two formulas: the output size from W, F, S, P, and the parameters from K, F, D; either or both."""

    kernel: int
    width: int | None = field(default=None, metadata=OPTIONAL)
    stride: int | None = field(default=None, metadata=OPTIONAL)
    padding: int | None = field(default=None, metadata=OPTIONAL)
    output: int | None = field(default=None, metadata=OPTIONAL)
    filters: int | None = field(default=None, metadata=OPTIONAL)
    depth: int | None = field(default=None, metadata=OPTIONAL)
    parameters: int | None = field(default=None, metadata=OPTIONAL)
    formulas: dict[str, str] | None = field(metadata=OPTIONAL)
    notes: tuple[str, ...] = field(metadata=HIDDEN)

    def table(self) -> Iterator[str]:
        """Yield the results, as formulas if there are some."""
        if self.formulas is not None:
            yield from self.formulas.values()
            return
        if self.output is not None:
            yield str(self.output)
        if self.parameters is not None:
            yield f"{self.parameters} parameters"


@dataclass(frozen=True)
class SolveResult:
    """The values of one hyperparameter that give a target size, from `lowest` to `highest`, or without a limit.

    `values` are the first of all solutions.
    """

    unknown: Hyperparameter = field(metadata=named("solve"))
    target: int = field(metadata=named("want"))
    lowest: int
    highest: int | None
    values: tuple[int, ...] = field(metadata=named("solutions"))
    formulas: tuple[str, ...] = field(metadata=HIDDEN)  # with --explain

    @property
    def notes(self) -> list[str]:
        """That there are more solutions than are shown."""
        if self.highest is None:
            return ["every larger value is a solution too"]
        return [f"every larger value up to {self.highest} is a solution too"] * (self.highest > self.values[-1])

    def table(self) -> Iterator[str]:
        """Yield the values, each with its formula if there are some."""
        if self.formulas:
            yield from (f"{value}: {formula}" for value, formula in zip(self.values, self.formulas, strict=True))
        else:
            yield from map(str, self.values)


def conv_shape(config: ConvShapeConfig) -> "FormulaResult | SolveResult | StackResult | GramResult | ComparisonResult":
    """Analyze a stack of layers or calculate one filter; raises InputError where PyTorch would raise an error."""
    is_matrix = config.gram and not config.has_stack
    has_layers = config.solve is None and not config.letters and not is_matrix
    what = "writes a row for each layer, and there is no layer"
    require(config.csv is None or has_layers, "--csv", what, "use --json")
    if config.solve is not None:
        return _solve_size(config, config.solve)
    if config.letters:
        return _calculate_filter(config)
    from dlnotes_cli.lessons.conv_shape.stack import analyze_stack, compare_networks, matrix_sizes

    if config.compare:
        return compare_networks(config)
    return matrix_sizes(config) if is_matrix else analyze_stack(config)


def _calculate_filter(config: ConvShapeConfig) -> FormulaResult:
    """Apply the formulas whose letters are set; raises InputError where none has all of its letters."""
    kernel, filters, depth = config.kernel, config.filters, config.depth
    if kernel is None:
        raise InputError("-F", "the size of the filter is missing", "add -W and -F, or -F, -K and -D")
    values: dict[str, Any] = {}
    formulas: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    if config.width is not None:
        padding = config.padding or 0
        window = SlidingWindow(config.width, kernel, config.stride or 1, padding, padding)
        size = config.width + 2 * padding
        what = f"a filter of {kernel} does not fit into {size} (padding included): {window.formula}"
        require(window.output > 0, "-F", what, "use a smaller filter or more padding")
        values |= {"width": config.width, "stride": window.stride, "padding": padding, "output": window.output}
        formulas["size"] = window.formula
        notes = (window.course_note,) if config.explain and window.course_note else ()
    if filters and depth:  # K*F*F*D weights and K biases
        total = filters * (kernel * kernel * depth + 1)
        values |= {"filters": filters, "depth": depth, "parameters": total}
        formulas["parameters"] = f"({filters} * {kernel}*{kernel} * {depth}) + {filters} = {total}"
    require(formulas, config.letters[0], "is not enough for a formula", "add -W and -F, or -F, -K and -D")
    return FormulaResult(kernel=kernel, **values, formulas=formulas if config.explain else None, notes=notes)


def _solve_size(config: ConvShapeConfig, unknown: Hyperparameter) -> SolveResult:
    """Find the values of one setting that give an output size; raises InputError where there are none."""
    from dlnotes_cli.shapes.layer import INT64
    from dlnotes_cli.shapes.solver import solve

    target, axes = config.want or 0, _axes(config)
    solutions = solve(unknown, target, axes)
    values, highest = tuple(solutions[:_MOST_SOLUTIONS]), None if solutions.stop == INT64 else solutions[-1]
    formulas = tuple(axes[0].with_value(unknown, value).formula for value in values) if config.explain else ()
    return SolveResult(unknown, target, values[0], highest, values, formulas)


def _axes(config: ConvShapeConfig) -> "tuple[Axis, ...]":
    """The axes to solve, from the course's letters or from one layer."""
    from dlnotes_cli.shapes.solver import Axis, layer_axes

    if not config.letters:
        from dlnotes_cli.lessons.conv_shape.stack import read_list

        layers, size = read_list(config)
        require(len(layers) == 1, "--solve", f"works on one layer, got {len(layers)}", "use one layer and its --input")
        return layer_axes(layers[0], size)
    if config.width is None:
        raise InputError("--solve", "needs the size of the input", "add -W")
    has_kernel = config.kernel is not None or config.solve == "kernel"
    require(has_kernel, "--solve", "needs the size of the filter", "add -F")
    is_unknown = getattr(config, str(config.solve), None) is None
    require(is_unknown, "--solve", f"{config.solve} is the unknown, but has a value", "leave its letter out")
    width, kernel, stride, padding = config.width, config.kernel or 1, config.stride or 1, config.padding or 0
    if config.solve == "output_padding":
        return (Axis(TransposedWindow(width, kernel, stride, padding)),)
    return (Axis(SlidingWindow(width, kernel, stride, padding, padding)),)
