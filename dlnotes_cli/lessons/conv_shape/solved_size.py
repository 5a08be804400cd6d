"""`--solve`: the values of one setting that give an output size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult
from dlnotes_cli.lessons.conv_shape.stack import read_stack
from dlnotes_cli.shapes.choices import Hyperparameter
from dlnotes_cli.shapes.solver import Solutions, WindowSpec, layer_axes, solve
from dlnotes_cli.shell.errors import InputError

MAX_SOLUTIONS = 10_000  # values in the output


@dataclass(frozen=True)
class SolveResult(ConvShapeResult):
    """The values of one hyperparameter that give a target size; `values` are the first of all `solutions`."""

    unknown: Hyperparameter
    target: int
    axis: WindowSpec  # the first axis, for the formulas
    solutions: Solutions
    values: tuple[int, ...]
    explain: bool = False

    def as_json(self) -> dict[str, Any]:
        """The question, the range of all solutions and the values."""
        return {
            "solve": self.unknown,
            "want": self.target,
            "lowest": self.solutions.lowest,
            "highest": self.solutions.highest,
            "solutions": list(self.values),
        }

    def lines(self) -> Iterator[str]:
        """Yield the values, with `explain` each with its formula."""
        for value in self.values:
            yield f"{value}: {self._formula(value)}" if self.explain else str(value)

    def notes(self) -> Iterator[str]:
        """Yield how many more solutions there are than `values`."""
        highest = self.solutions.highest
        if highest is None:
            yield "every larger value is a solution too"
        elif highest > self.values[-1]:
            yield f"every larger value up to {highest} is a solution too"

    def _formula(self, value: int) -> str:
        return self.axis.with_value(self.unknown, value).window.formula


def solve_size(config: ConvShapeConfig) -> SolveResult:
    """Find the values; raises InputError where there are none."""
    unknown, target = config.solve, config.want
    if unknown is None or target is None:
        raise InputError("--solve", "needs --want", "add --want")
    axes = _axes(config)
    solutions = solve(unknown, target, axes)
    values = tuple(solutions.first(MAX_SOLUTIONS))
    return SolveResult(unknown, target, axes[0], solutions, values, config.explain)


def _axes(config: ConvShapeConfig) -> tuple[WindowSpec, ...]:
    """The axes to solve, from the course's letters or from one layer."""
    if not config.letters:
        network, size = read_stack(config)
        layers = network.as_list()
        if len(layers) != 1:
            raise InputError("--solve", f"works on one layer, got {len(layers)}", "use one layer and its --input")
        return layer_axes(layers[0], size)
    if config.width is None:
        raise InputError("--solve", "needs the size of the input", "add -W")
    if config.kernel is None and config.solve != "kernel":
        raise InputError("--solve", "needs the size of the filter", "add -F")
    if config.solve != "output_padding" and getattr(config, str(config.solve)) is not None:
        raise InputError("--solve", f"{config.solve} is the unknown, but has a value", "leave its letter out")
    return (
        WindowSpec(
            config.width,
            kernel=config.kernel or 1,
            stride=config.stride or 1,
            padding=config.padding or 0,
            is_transposed=config.solve == "output_padding",
        ),
    )
