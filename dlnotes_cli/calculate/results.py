"""The results of `conv-shape`, one type for each kind of question."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlnotes_cli.shapes.choices import Hyperparameter
from dlnotes_cli.shapes.course import rounding_note
from dlnotes_cli.shapes.layer import Shape, format_shape
from dlnotes_cli.shapes.sliding_window import SlidingWindow

if TYPE_CHECKING:
    from dlnotes_cli.shapes.report import NetworkReport
    from dlnotes_cli.shapes.solver import Solutions, WindowSpec


class ConvShapeResult(ABC):
    """A result of `conv-shape`: `as_json()` for scripts, `lines()` and `notes()` for people."""

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """The fields of the JSON document."""

    @abstractmethod
    def lines(self) -> Iterator[str]:
        """Yield the lines of the text output."""

    def notes(self) -> Iterator[str]:
        """Yield the notes for stderr."""
        yield from ()


@dataclass(frozen=True)
class GramResult(ConvShapeResult):
    """Lesson 6: a feature map as a matrix of channels and positions, and the Gram matrix of its channels."""

    input: Shape
    vectorized: Shape
    gram: Shape
    explain: bool = False

    def sizes_as_json(self) -> dict[str, Any]:
        """The sizes of both matrices."""
        return {"vectorized": list(self.vectorized), "gram": list(self.gram)}

    def as_json(self) -> dict[str, Any]:
        """The shape and the sizes of both matrices."""
        return {"input": list(self.input), **self.sizes_as_json()}

    def lines(self) -> Iterator[str]:
        """Yield the sizes of both matrices."""
        formula = f": {'*'.join(map(str, self.input[1:]))} = {self.vectorized[1]}" if self.explain else ""
        yield f"vectorized  {format_shape(self.vectorized)}{formula}"
        yield f"gram        {format_shape(self.gram)}"


@dataclass(frozen=True)
class StackResult(ConvShapeResult):
    """The report on a stack of layers, with `gram` also the matrix sizes of its output."""

    report: "NetworkReport"
    course_notes: tuple[str, ...]
    gram: GramResult | None = None
    explain: bool = False

    def as_json(self) -> dict[str, Any]:
        """The report, with `explain` also the formulas of each layer."""
        return self.report.as_json(explain=self.explain) | (self.gram.sizes_as_json() if self.gram else {})

    def lines(self) -> Iterator[str]:
        """Yield the table, the totals and the matrix sizes."""
        from dlnotes_cli.shapes.table import report_lines  # one filter needs no table

        yield from report_lines(self.report, explain=self.explain)
        if self.gram:
            yield from self.gram.lines()

    def notes(self) -> Iterator[str]:
        """Yield where the course is imprecise or wrong about this stack."""
        yield from self.course_notes


@dataclass(frozen=True)
class FilterParameters:
    """The parameters of K filters of size F x F over D channels: K*F*F*D weights and K biases."""

    filters: int
    kernel: int
    depth: int

    @property
    def count(self) -> int:
        """The number of parameters."""
        return self.filters * (self.kernel * self.kernel * self.depth + 1)

    @property
    def formula(self) -> str:
        """The formula with its numbers."""
        return f"({self.filters} * {self.kernel}*{self.kernel} * {self.depth}) + {self.filters} = {self.count}"


@dataclass(frozen=True)
class FilterResult(ConvShapeResult):
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
            yield f"{self.parameters.count} parameters"

    def notes(self) -> Iterator[str]:
        """Yield a note where the course's formula does not give a whole number."""
        note = rounding_note(self.window) if self.window else ""
        if note:
            yield note

    def _formulas(self) -> dict[str, str]:
        size = {"size": self.window.formula} if self.window else {}
        return size | ({"parameters": self.parameters.formula} if self.parameters else {})


@dataclass(frozen=True)
class SolveResult(ConvShapeResult):
    """The values of one hyperparameter that give a target size; `values` are the first of all `solutions`."""

    unknown: Hyperparameter
    target: int
    axis: "WindowSpec"  # the first axis, for the formulas
    solutions: "Solutions"
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
        "parameters": parameters.count,
    }
