"""Activation functions and their derivatives, as curves."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dlnotes_cli.calculate.trace.options import ACTIVATIONS

_RANGE, _POINTS = 6.0, 1201
_SHOWN = (-2.0, 0.0, 2.0)


@dataclass(frozen=True)
class Curve:
    """A function and its derivative at equally spaced points."""

    name: str
    x: tuple[float, ...]
    values: tuple[float, ...]
    slopes: tuple[float, ...]

    def at(self, x: float) -> tuple[float, float]:
        """The value and the slope at one of the points."""
        index = min(range(len(self.x)), key=lambda i: abs(self.x[i] - x))
        return self.values[index], self.slopes[index]

    def as_json(self) -> dict[str, Any]:
        """One entry of `activations`."""
        return {
            "name": self.name,
            "largest_slope": max(self.slopes),
            "at": [dict(zip(("x", "value", "slope"), (x, *self.at(x)), strict=True)) for x in _SHOWN],
        }


def activation_curves(name: str) -> Curve:
    """The curve of a named activation from -6 to 6; at a kink, the slope is PyTorch's."""
    x = torch.linspace(-_RANGE, _RANGE, _POINTS, dtype=torch.float64)
    x[_POINTS // 2] = 0.0
    x.requires_grad_()
    y = getattr(nn, ACTIVATIONS[name])()(x)
    (slopes,) = torch.autograd.grad(y.sum(), x)
    return Curve(name, tuple(x.tolist()), tuple(y.tolist()), tuple(slopes.tolist()))
