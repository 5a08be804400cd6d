"""`--solve`: the values of one setting that give an output size."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult
from dlnotes_cli.lessons.conv_shape.stack import read_list
from dlnotes_cli.shapes.choices import Hyperparameter
from dlnotes_cli.shapes.sliding_window import SlidingWindow, TransposedWindow
from dlnotes_cli.shapes.solver import Axis, Solutions, layer_axes, solve
from dlnotes_cli.shell.codec import HIDDEN, INLINE, named
from dlnotes_cli.shell.errors import InputError

MAX_SOLUTIONS = 10_000  # values in the output


@dataclass(frozen=True)
class SolveResult(ConvShapeResult):
    """The values of one hyperparameter that give a target size; `values` are the first of all solutions."""

    unknown: Hyperparameter = field(metadata=named("solve"))
    target: int = field(metadata=named("want"))
    solutions: Solutions = field(metadata=INLINE)
    values: tuple[int, ...] = field(metadata=named("solutions"))
    formulas: tuple[str, ...] = field(metadata=HIDDEN)  # with --explain

    def table(self) -> Iterator[str]:
        """Yield the values, each with its formula if there are some."""
        if self.formulas:
            yield from (f"{value}: {formula}" for value, formula in zip(self.values, self.formulas, strict=True))
        else:
            yield from map(str, self.values)


def solve_size(config: ConvShapeConfig) -> SolveResult:
    """Find the values; raises InputError where there are none."""
    unknown, target = config.solve, config.want
    if unknown is None or target is None:
        raise InputError("--solve", "needs --want", "add --want")
    axes = _axes(config)
    solutions = solve(unknown, target, axes)
    values = tuple(solutions.first(MAX_SOLUTIONS))
    formulas = tuple(axes[0].with_value(unknown, value).formula for value in values) if config.explain else ()
    return SolveResult(unknown, target, solutions, values, formulas, notes=_notes(solutions, values))


def _notes(solutions: Solutions, values: tuple[int, ...]) -> tuple[str, ...]:
    """How many more solutions there are than `values`."""
    if solutions.highest is None:
        return ("every larger value is a solution too",)
    is_cut = solutions.highest > values[-1]
    return (f"every larger value up to {solutions.highest} is a solution too",) if is_cut else ()


def _axes(config: ConvShapeConfig) -> tuple[Axis, ...]:
    """The axes to solve, from the course's letters or from one layer."""
    if not config.letters:
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
