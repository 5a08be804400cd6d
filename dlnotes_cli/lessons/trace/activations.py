"""Activation functions and their derivatives, as curves."""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dlnotes_cli.lessons.trace.options import ACTIVATIONS
from dlnotes_cli.shell.codec import HIDDEN, in_json

_RANGE, _POINTS = 6.0, 1201
_WIDE_RANGE, _WIDE_POINTS = 40.0, 8001  # of the largest slope, which softplus reaches far from 0
_SHOWN = (-2.0, 0.0, 2.0)


class CurvePoint(NamedTuple):
    """A point of a function, and its slope there."""

    x: float
    value: float
    slope: float


@dataclass(frozen=True)
class Curve:
    """A function and its derivative at equally spaced points."""

    name: str
    x: tuple[float, ...] = field(metadata=HIDDEN)
    values: tuple[float, ...] = field(metadata=HIDDEN)
    slopes: tuple[float, ...] = field(metadata=HIDDEN)
    largest_slope: float

    @property
    @in_json
    def at(self) -> list[CurvePoint]:
        """The points at -2, 0 and 2."""
        indices = [min(range(len(self.x)), key=lambda i: abs(self.x[i] - x)) for x in _SHOWN]
        return [CurvePoint(x, self.values[i], self.slopes[i]) for x, i in zip(_SHOWN, indices, strict=True)]


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
