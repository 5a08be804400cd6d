"""The results of `trace`; tensors are float64, and have their batch first."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dlnotes_cli.lessons.trace.activations import Curve
from dlnotes_cli.lessons.trace.options import TraceConfig

_MOST_IN_JSON = 10_000  # numbers of a tensor


@dataclass(frozen=True)
class ParameterTrace:
    """A parameter and the gradient of the loss by it."""

    name: str
    value: Tensor
    gradient: Tensor

    def as_json(self) -> dict[str, Any]:
        """One entry of `parameters`."""
        return {"name": self.name, "value": numbers(self.value), "gradient": numbers(self.gradient)}


@dataclass(frozen=True)
class LayerTrace:
    """One layer: what went in and out, its local derivative, and the gradient of the loss by its output.

    Of a recurrent layer, `steps` has the gates of each time step and `states` the states before the first one.
    """

    text: str
    input: Tensor
    output: Tensor
    derivative: Tensor | None
    gradient: Tensor
    parameters: tuple[ParameterTrace, ...]
    cell: str | None = None
    steps: tuple[dict[str, Tensor], ...] = ()
    states: tuple[Tensor, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """One entry of `layers`."""
        last = self.steps[-1] if self.steps else {}
        return {
            "layer": self.text,
            "shape": list(self.output.shape),
            "output": numbers(self.output),
            "derivative": None if self.derivative is None else numbers(self.derivative),
            "gradient": numbers(self.gradient),
            "gradient_norm": norm(self.gradient),
            "parameters": [parameter.as_json() for parameter in self.parameters],
            "steps": [{name: numbers(gate) for name, gate in step.items()} for step in self.steps],
            "state_shape": [1, *last["h"].shape] if last else None,
        }


@dataclass(frozen=True)
class Check:
    """The gradient by one tensor from autograd and from finite differences."""

    name: str
    autograd: Tensor
    differences: Tensor

    @property
    def largest_difference(self) -> float:
        """The largest distance between the two."""
        return float((self.autograd - self.differences).abs().max())

    def as_json(self) -> dict[str, Any]:
        """One entry of `checks`."""
        return {
            "name": self.name,
            "autograd": numbers(self.autograd),
            "differences": numbers(self.differences),
            "largest_difference": self.largest_difference,
        }


@dataclass(frozen=True)
class Descent:
    """The loss before each update and after the last one, and the parameters after it."""

    lr: float
    losses: tuple[float, ...]
    after: tuple[tuple[str, Tensor], ...]

    def as_json(self) -> dict[str, Any]:
        """The field `descent`."""
        after = [{"name": name, "value": numbers(value)} for name, value in self.after]
        return {"lr": self.lr, "losses": list(self.losses), "parameters": after}


@dataclass(frozen=True)
class Comparison:
    """The norm of the gradient with respect to the output of each layer, with one activation."""

    activation: str
    norms: tuple[float, ...]


@dataclass(frozen=True)
class TraceResult:
    """Layers traced forward and back, or, without layers, curves of activations."""

    config: TraceConfig
    layers: tuple[LayerTrace, ...] = ()
    parameters: int = 0
    value: float | None = None
    input: Tensor | None = None
    input_gradient: Tensor | None = None
    checks: tuple[Check, ...] = ()
    descent: Descent | None = None
    comparisons: tuple[Comparison, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The fields of the JSON document."""
        return {
            "loss": self.config.chosen_loss if self.layers else None,
            "value": self.value,
            "mode": self.config.mode,
            "parameters": self.parameters,
            "input": None if self.input is None else numbers(self.input),
            "input_gradient": None if self.input_gradient is None else numbers(self.input_gradient),
            "layers": [layer.as_json() for layer in self.layers],
            "checks": [check.as_json() for check in self.checks],
            "descent": None if self.descent is None else self.descent.as_json(),
            "comparisons": [{"activation": one.activation, "norms": list(one.norms)} for one in self.comparisons],
            "activations": [curve.as_json() for curve in self.curves],
            "plot": None if self.config.plot is None else str(self.config.plot),
        }


def numbers(tensor: Tensor) -> Any:
    """A tensor as nested lists; None for a large one."""
    return tensor.tolist() if tensor.numel() <= _MOST_IN_JSON else None


def norm(tensor: Tensor) -> float:
    """The Euclidean norm."""
    return float(torch.linalg.vector_norm(tensor))
