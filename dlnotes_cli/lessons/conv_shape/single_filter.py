"""One filter in the letters of the course: its output size and its parameters."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult
from dlnotes_cli.shapes.course import rounding_note
from dlnotes_cli.shapes.sliding_window import SlidingWindow
from dlnotes_cli.shell.errors import InputError


class FilterParameters(NamedTuple):
    """The parameters of K filters of size F x F over D channels: K*F*F*D weights and K biases."""

    filters: int
    kernel: int
    depth: int

    @property
    def total(self) -> int:
        """The number of parameters."""
        return self.filters * (self.kernel * self.kernel * self.depth + 1)

    @property
    def formula(self) -> str:
        """The formula with its numbers."""
        return f"({self.filters} * {self.kernel}*{self.kernel} * {self.depth}) + {self.filters} = {self.total}"


@dataclass(frozen=True)
class FormulaResult(ConvShapeResult):
    """The course's two formulas: the output size from W, F, S, P, and the parameters from K, F, D; either or both."""

    window: SlidingWindow | None
    parameters: FilterParameters | None
    explain: bool = False

    def as_json(self) -> dict[str, Any]:
        """The letters by name and the results, with `explain` also the formulas."""
        return {
            **(_window_as_json(self.window) if self.window else {}),
            **(_parameters_as_json(self.parameters) if self.parameters else {}),
            **({"formulas": self._formulas()} if self.explain else {}),
        }

    def lines(self) -> Iterator[str]:
        """Yield the results, with `explain` as formulas."""
        if self.explain:
            yield from self._formulas().values()
            return
        if self.window:
            yield str(self.window.output)
        if self.parameters:
            yield f"{self.parameters.total} parameters"

    def notes(self) -> Iterator[str]:
        """Yield a note where the course's formula does not give a whole number."""
        note = rounding_note(self.window) if self.window else ""
        if note:
            yield note

    def _formulas(self) -> dict[str, str]:
        size = {"size": self.window.formula} if self.window else {}
        return size | ({"parameters": self.parameters.formula} if self.parameters else {})


def calculate_filter(config: ConvShapeConfig) -> FormulaResult:
    """Apply the formulas whose letters are set; raises InputError where none has all of its letters."""
    if config.kernel is None:
        raise InputError("-F", "the size of the filter is missing", "add -W and -F, or -F, -K and -D")
    window = parameters = None
    if config.width is not None:
        window = _window(config.width, config.kernel, config)
    if config.filters and config.depth:
        parameters = FilterParameters(config.filters, config.kernel, config.depth)
    if window is None and parameters is None:
        raise InputError(config.letters[0], "is not enough for a formula", "add -W and -F, or -F, -K and -D")
    return FormulaResult(window, parameters, config.explain)


def _window(width: int, kernel: int, config: ConvShapeConfig) -> SlidingWindow:
    padding = config.padding or 0
    window = SlidingWindow(width, kernel, config.stride or 1, padding, padding)
    if window.output < 1:
        what = f"a filter of {kernel} does not fit into {width + 2 * padding} (padding included): {window.formula}"
        raise InputError("-F", what, "use a smaller filter or more padding")
    return window


def _window_as_json(window: SlidingWindow) -> dict[str, int]:
    return {
        "width": window.input_size,
        "kernel": window.kernel,
        "stride": window.stride,
        "padding": window.pad_before,
        "output": window.output,
    }


def _parameters_as_json(parameters: FilterParameters) -> dict[str, int]:
    return {
        "kernel": parameters.kernel,
        "filters": parameters.filters,
        "depth": parameters.depth,
        "parameters": parameters.total,
    }
