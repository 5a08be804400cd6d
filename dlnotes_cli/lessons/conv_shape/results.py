"""The results of `conv-shape` on one filter, on matrices and of `--solve`, and what every result has."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dlnotes_cli.shapes.choices import Hyperparameter
from dlnotes_cli.shell.codec import HIDDEN, OPTIONAL, named
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from dlnotes_cli.shell.show import Table

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ConvShapeResult(ABC):
    """A result of `conv-shape`: `to_json` makes the JSON document, `table()` and `notes` are for people."""

    notes: tuple[str, ...] = field(default=(), kw_only=True, metadata=HIDDEN)

    @abstractmethod
    def table(self) -> "Iterator[Table | str]":
        """Yield the text output."""

    def csv(self) -> str:
        """A row for each layer; raises InputError without layers."""
        raise InputError("--csv", "writes a row for each layer, and there is no layer", "use --json")


@dataclass(frozen=True, kw_only=True)
class FormulaResult(ConvShapeResult):
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
class GramResult(ConvShapeResult):
    """Lesson 6: a feature map as a matrix of channels and positions, and the Gram matrix of its channels."""

    input: Shape
    vectorized: Shape
    gram: Shape
    explain: bool = field(default=False, metadata=HIDDEN)

    def table(self) -> Iterator[str]:
        """Yield the sizes of both matrices."""
        formula = f": {'*'.join(map(str, self.input[1:]))} = {self.vectorized[1]}" if self.explain else ""
        yield f"vectorized  {'x'.join(map(str, self.vectorized))}{formula}"
        yield f"gram        {'x'.join(map(str, self.gram))}"


@dataclass(frozen=True)
class SolveResult(ConvShapeResult):
    """The values of one hyperparameter that give a target size, from `lowest` to `highest`, or without a limit.

    `values` are the first of all solutions.
    """

    unknown: Hyperparameter = field(metadata=named("solve"))
    target: int = field(metadata=named("want"))
    lowest: int
    highest: int | None
    values: tuple[int, ...] = field(metadata=named("solutions"))
    formulas: tuple[str, ...] = field(metadata=HIDDEN)  # with --explain

    def table(self) -> Iterator[str]:
        """Yield the values, each with its formula if there are some."""
        if self.formulas:
            yield from (f"{value}: {formula}" for value, formula in zip(self.values, self.formulas, strict=True))
        else:
            yield from map(str, self.values)
