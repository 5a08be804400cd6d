"""Layers that keep the shape, value by value: activations, softmax, dropout, identity."""

from collections.abc import Callable

from dlnotes_cli.shapes.layer import Effect, RefusedError, Shape, sample
from dlnotes_cli.shapes.rules.arguments import Arguments

_Check = Callable[[Arguments], bool]


def _hardtanh_holds(given: Arguments) -> bool:
    low = given.number("min_val" if given["min_value"] is None else "min_value")
    high = given.number("max_val" if given["max_value"] is None else "max_value")
    return high > low


# For each layer with arguments of its own: which are numbers, and what must hold between them.
_LIMITS: dict[str, tuple[_Check, str]] = {
    "CELU": (lambda given: given.number("alpha") != 0, "alpha=0 divides by nothing"),
    "RReLU": (lambda given: given.number("lower") <= given.number("upper"), "lower is above upper"),
    "Softshrink": (lambda given: given.number("lambd") >= 0, "lambd is negative"),
    "Hardtanh": (_hardtanh_holds, "max_val is not above min_val"),
    "GELU": (lambda given: given["approximate"] in {"none", "tanh"}, "approximate is neither 'none' nor 'tanh'"),
}


def elementwise(given: Arguments, shape: Shape, name: str, numbers: tuple[str, ...]) -> Effect:
    """A function of each value by itself."""
    for argument in numbers:
        given.number(argument)
    holds, complaint = _LIMITS.get(name, (None, ""))
    if holds and not holds(given):
        raise RefusedError(complaint, f"see the arguments of {name}")
    return Effect(shape, is_view="inplace" in given and bool(given["inplace"]))


def dropout(given: Arguments, shape: Shape, ranks: tuple[int, ...] = ()) -> Effect:
    """Dropout, which lets everything through in evaluation mode; `ranks` are the shapes it takes, batch included."""
    if not 0 <= given.number("p") <= 1:
        raise RefusedError(f"p={given['p']} is not between 0 and 1", "use a number from 0 to 1")
    if ranks and len(shape) not in ranks:
        raise RefusedError(f"takes C or CxL, got {sample(shape)}", "use Dropout, Dropout2d or Dropout3d")
    return Effect(shape, is_view=bool(given["inplace"]))


def softmax(given: Arguments, shape: Shape) -> Effect:
    """Softmax over one dimension, the batch being dimension 0."""
    if given["dim"] is not None:
        axis_of(given, "dim", shape)
    return Effect(shape)


def softmax2d(_given: Arguments, shape: Shape) -> Effect:
    """Softmax over the channels."""
    if len(shape) not in {3, 4}:
        raise RefusedError(f"takes CxHxW, got {sample(shape)}")
    return Effect(shape)


def glu(given: Arguments, shape: Shape) -> Effect:
    """One half of a dimension gates the other half."""
    axis = axis_of(given, "dim", shape)
    if shape[axis] % 2:
        raise RefusedError(f"dimension {axis} of {sample(shape)} is {shape[axis]}, which has no half", "make it even")
    return Effect((*shape[:axis], shape[axis] // 2, *shape[axis + 1 :]))


def prelu(given: Arguments, shape: Shape) -> Effect:
    """A learned slope below 0, one for all or one for each channel."""
    slopes = given.whole("num_parameters", 1)
    given.number("init")
    channels = shape[1] if len(shape) > 1 else 1
    if slopes not in {1, channels}:
        raise RefusedError(f"num_parameters={slopes}, got {channels} channels", f"write 1 or {channels}")
    return Effect(shape, parameters=slopes)


def identity(_given: Arguments, shape: Shape) -> Effect:
    """The input itself."""
    return Effect(shape, is_view=True)


def axis_of(given: Arguments, name: str, shape: Shape) -> int:
    """A dimension counted from 0, negative ones from the end; the batch is dimension 0."""
    axis, count = given.whole(name), len(shape)
    if not -count <= axis < count:
        raise RefusedError(
            f"{name}={axis} is not a dimension of {sample(shape)} in a batch", f"use {-count} to {count - 1}"
        )
    return axis % count
