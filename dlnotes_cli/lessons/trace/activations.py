"""Activation functions and their derivatives, as curves."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlnotes_cli.lessons.trace.options import ACTIVATIONS

_RANGE, _POINTS = 6.0, 1201
_WIDE_RANGE, _WIDE_POINTS = 40.0, 8001  # of the largest slope, which softplus reaches far from 0
_SHOWN = (-2.0, 0.0, 2.0)


@dataclass(frozen=True)
class Curve:
    """A function and its derivative at equally spaced points."""

    name: str
    x: tuple[float, ...]
    values: tuple[float, ...]
    slopes: tuple[float, ...]
    largest_slope: float

    def at(self, x: float) -> tuple[float, float]:
        """The value and the slope at one of the points."""
        index = min(range(len(self.x)), key=lambda i: abs(self.x[i] - x))
        return self.values[index], self.slopes[index]

    def as_json(self) -> dict[str, Any]:
        """One entry of `activations`."""
        return {
            "name": self.name,
            "largest_slope": self.largest_slope,
            "at": [dict(zip(("x", "value", "slope"), (x, *self.at(x)), strict=True)) for x in _SHOWN],
        }


def activation_curves(name: str) -> Curve:
    """The curve of a named activation from -6 to 6; at a kink, the slope is PyTorch's."""
    function = getattr(nn, ACTIVATIONS[name])()
    x, values, slopes = _sampled(function, _RANGE, _POINTS)
    largest = float(_sampled(function, _WIDE_RANGE, _WIDE_POINTS)[2].max())
    return Curve(name, tuple(x.tolist()), tuple(values.tolist()), tuple(slopes.tolist()), largest)


def _sampled(function: nn.Module, largest: float, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points from -largest to largest, and the values and slopes of a function there."""
    x = torch.linspace(-largest, largest, count, dtype=torch.float64)
    x[count // 2] = 0.0
    x.requires_grad_()
    y = function(x)
    (slopes,) = torch.autograd.grad(y.sum(), x)
    return x.detach(), y.detach(), slopes
