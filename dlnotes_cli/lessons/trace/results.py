"""The results of `trace`; tensors are float64, and have their batch first."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dlnotes_cli.lessons.drawings import Plotted
from dlnotes_cli.lessons.options import TraceConfig
from dlnotes_cli.lessons.trace.network import LABELS
from dlnotes_cli.shell.codec import HIDDEN, named, through
from dlnotes_cli.shell.output import counted, number
from dlnotes_cli.shell.show import Table

_MOST_IN_JSON = 10_000  # numbers of a tensor
_MOST_COLUMNS, _MOST_ROWS = 6, 8  # of a tensor that is printed in full
_MOST_STEPS = 12  # of a cell
_CELL = 8  # characters of a number in a row


def _numbers(tensor: Tensor) -> Any:
    """A tensor as nested lists; None for a large one."""
    return tensor.tolist() if tensor.numel() <= _MOST_IN_JSON else None


def _gates(steps: tuple[dict[str, Tensor], ...]) -> list[dict[str, Any]]:
    return [{name: _numbers(gate) for name, gate in step.items()} for step in steps]


NUMBERS = through(_numbers)


@dataclass(frozen=True)
class NamedTensor:
    """A parameter after an update."""

    name: str
    value: Tensor = field(metadata=NUMBERS)


@dataclass(frozen=True)
class ParameterTrace(NamedTensor):
    """A parameter and the gradient of the loss by it."""

    gradient: Tensor = field(metadata=NUMBERS)


@dataclass(frozen=True)
class LayerTrace:
    """One layer: what went in and out, its local derivative, and the gradient of the loss by its output.

    Of a recurrent layer, `steps` has the gates of each time step and `states` the states before the first one.
    """

    text: str = field(metadata=named("layer"))
    input: Tensor = field(metadata=HIDDEN)
    output: Tensor = field(metadata=NUMBERS)
    derivative: Tensor | None = field(metadata=NUMBERS)
    gradient: Tensor = field(metadata=NUMBERS)
    parameters: tuple[ParameterTrace, ...]
    cell: str | None = field(metadata=HIDDEN)
    steps: tuple[dict[str, Tensor], ...] = field(metadata=through(_gates))
    states: tuple[Tensor, ...] = field(metadata=HIDDEN)
    shape: tuple[int, ...]
    gradient_norm: float
    state_shape: tuple[int, ...] | None  # of the hidden state, as PyTorch returns it

    def lines(self) -> Iterator[str]:
        """The gates of each step, the output, the gradients and the parameters."""
        for step, gates in enumerate(self.steps[:_MOST_STEPS], 1):
            for name, values in gates.items():
                yield from _block(f"step {step:<3} {LABELS[name]:<12} {name}", values, width=23)
        if len(self.steps) > _MOST_STEPS:
            yield f"… {len(self.steps) - _MOST_STEPS:,} more steps; --json has all"
        if self.state_shape:
            yield f"{'state':<14}{'x'.join(map(str, self.state_shape))}"
        yield from _block("output", self.output)
        if self.derivative is not None:
            yield from _block("derivative", self.derivative)
        yield from _block("gradient", self.gradient)
        for parameter in self.parameters:
            yield from _block(parameter.name.partition(".")[2], parameter.value)
            yield from _block("  gradient", parameter.gradient)


@dataclass(frozen=True)
class Check:
    """The gradient by one tensor from autograd and from finite differences."""

    name: str
    autograd: Tensor = field(metadata=NUMBERS)
    differences: Tensor = field(metadata=NUMBERS)
    largest_difference: float

    def lines(self) -> Iterator[str]:
        """Both, and how far they are apart."""
        yield f"{self.name}: autograd and finite differences, at most {self.largest_difference:.1e} apart"
        for label, tensor in (("autograd", self.autograd), ("differences", self.differences)):
            yield from (f"   {line}" for line in _block(label, tensor))


@dataclass(frozen=True)
class Descent:
    """The loss before each update and after the last one, and the parameters after it."""

    lr: float
    losses: tuple[float, ...]
    after: tuple[NamedTensor, ...] = field(metadata=named("parameters"))


@dataclass(frozen=True)
class Comparison:
    """The norm of the gradient with respect to the output of each layer, with one activation."""

    activation: str
    norms: tuple[float, ...]


class CurvePoint(NamedTuple):
    """A point of a function, and its slope there."""

    x: float
    value: float
    slope: float


@dataclass(frozen=True)
class Curve:
    """A function and its derivative at equally spaced points, and at -2, 0 and 2."""

    name: str
    x: tuple[float, ...] = field(metadata=HIDDEN)
    values: tuple[float, ...] = field(metadata=HIDDEN)
    slopes: tuple[float, ...] = field(metadata=HIDDEN)
    largest_slope: float
    at: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class TraceResult(Plotted):
    """Layers traced forward and back, or, without layers, curves of activations."""

    config: TraceConfig = field(metadata=HIDDEN)
    mode: str
    layers: tuple[LayerTrace, ...] = ()
    parameters: int = 0
    value: float | None = None
    input: Tensor | None = field(default=None, metadata=NUMBERS)
    input_gradient: Tensor | None = field(default=None, metadata=NUMBERS)
    checks: tuple[Check, ...] = ()
    descent: Descent | None = None
    comparisons: tuple[Comparison, ...] = ()
    curves: tuple[Curve, ...] = field(default=(), metadata=named("activations"))
    loss: str | None = None  # that is differentiated
    notes: tuple[str, ...] = field(default=(), metadata=HIDDEN)

    def table(self) -> Iterator[Table | str]:
        """The curves; or every number of each layer, the loss, and what else was asked for. With `-q`, the loss."""
        if self.curves:
            yield self._curves()
            return
        totals = (f"{self.loss:<17}{number(self.value)}", f"parameters       {self.parameters:,}")
        if self.config.quiet:
            yield from totals
            return
        for label, tensor in (("input", self.input), ("gradient", self.input_gradient)):
            if tensor is not None:
                yield from _block(label, tensor, width=17)
        for position, layer in enumerate(self.layers, 1):
            yield from ("", f"{position}  {layer.text}", *(f"   {line}" for line in layer.lines()))
        yield from ("", *totals)
        if self.comparisons:
            columns = ["layer", *(one.activation for one in self.comparisons)]
            norms = zip(*(one.norms for one in self.comparisons), strict=True)
            rows = [[str(i), *(f"{norm:.3g}" for norm in row)] for i, row in enumerate(norms, 1)]
            yield Table(columns, rows, columns)
        for check in self.checks:
            yield from ("", *check.lines())
        if self.descent is not None:
            yield from ("", *self._descent(self.descent))

    def _curves(self) -> Table:
        columns = ["activation", "f(-2)", "f(0)", "f(2)", "f'(-2)", "f'(0)", "f'(2)", "largest f'"]
        rows = []
        for curve in self.curves:
            shown = (*(one.value for one in curve.at), *(one.slope for one in curve.at), curve.largest_slope)
            rows.append([curve.name, *(f"{value:.4f}" for value in shown)])
        return Table(columns, rows, columns[1:], is_result=True)

    def _descent(self, descent: Descent) -> Iterator[str]:
        before = {parameter.name: parameter.value for layer in self.layers for parameter in layer.parameters}
        updates = counted(len(descent.losses) - 1, "update")
        yield f"loss {number(descent.losses[0])}, after {updates} {number(descent.losses[-1])}"
        for one in descent.after:
            lines = (*_block(one.name, before[one.name]), *_block("  after", one.value))
            yield from (f"   {line}" for line in lines)


def norm(tensor: Tensor) -> float:
    """The Euclidean norm."""
    return float(torch.linalg.vector_norm(tensor))


def _block(label: str, tensor: Tensor, width: int = 14) -> Iterator[str]:
    """A label and a small tensor, one line for each row; or the shape and norm of a large one."""
    rows = tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim else tensor.reshape(1, 1)
    if rows.shape[1] > _MOST_COLUMNS or len(rows) > _MOST_ROWS:
        yield f"{label:<{width - 1}} {'x'.join(map(str, tensor.shape))}, norm {number(norm(tensor.double()))}"
        return
    for row in rows.tolist():
        yield f"{label:<{width}}" + "".join(f" {_cell(value):>{_CELL}}" for value in row)
        label = ""


def _cell(value: float) -> str:
    """A number of at most `_CELL` characters."""
    text = number(value)
    digits = 4
    while len(text) > _CELL and digits > 1:
        digits -= 1
        text = f"{value:.{digits}g}"
    return text
