"""Layers that keep the shape: activations, softmax, dropout, identity; and GLU, which halves a dimension."""

from collections.abc import Callable

from dlnotes_cli.shapes.layer import InvalidLayerError, LayerInfo, Shape, format_sample
from dlnotes_cli.shapes.rules.arguments import Arguments

_Check = Callable[[Arguments], bool]


def _is_hardtanh_range(arguments: Arguments) -> bool:
    low = arguments.number("min_val" if arguments["min_value"] is None else "min_value")
    high = arguments.number("max_val" if arguments["max_value"] is None else "max_value")
    return high > low


# What must hold for the arguments of a layer, and what is wrong if it does not.
_LIMITS: dict[str, tuple[_Check, str]] = {
    "CELU": (lambda arguments: arguments.number("alpha") != 0, "alpha=0 divides by zero"),
    "RReLU": (lambda arguments: arguments.number("lower") <= arguments.number("upper"), "lower is above upper"),
    "Softshrink": (lambda arguments: arguments.number("lambd") >= 0, "lambd is negative"),
    "Hardtanh": (_is_hardtanh_range, "max_val is not above min_val"),
    "GELU": (lambda arguments: arguments["approximate"] in ("none", "tanh"), "approximate is not 'none' or 'tanh'"),
}


def elementwise(arguments: Arguments, shape: Shape, name: str, numbers: tuple[str, ...]) -> LayerInfo:
    """An elementwise activation `name`; `numbers` are its numeric arguments."""
    for argument in numbers:
        arguments.number(argument)
    is_valid, problem = _LIMITS.get(name, (None, ""))
    if is_valid and not is_valid(arguments):
        raise InvalidLayerError(problem, f"see the arguments of {name}")
    return LayerInfo(shape, is_view="inplace" in arguments and bool(arguments["inplace"]))


def dropout(arguments: Arguments, shape: Shape, ranks: tuple[int, ...] = ()) -> LayerInfo:
    """Dropout, the identity in evaluation mode; `ranks` are the accepted numbers of dimensions, batch included."""
    if not 0 <= arguments.number("p") <= 1:
        raise InvalidLayerError(f"p={arguments['p']} is not between 0 and 1", "use a number from 0 to 1")
    if ranks and len(shape) not in ranks:
        what = f"expects C or CxL, got {format_sample(shape)}"
        raise InvalidLayerError(what, "use Dropout, Dropout2d or Dropout3d")
    return LayerInfo(shape, is_view=bool(arguments["inplace"]))


def softmax(arguments: Arguments, shape: Shape) -> LayerInfo:
    """Softmax, Softmin or LogSoftmax over one dimension; the batch is dimension 0."""
    if arguments["dim"] is not None:
        dimension(arguments, "dim", shape)
    return LayerInfo(shape)


def softmax2d(_arguments: Arguments, shape: Shape) -> LayerInfo:
    """Softmax over the channels."""
    if len(shape) not in {3, 4}:
        raise InvalidLayerError(f"expects CxHxW, got {format_sample(shape)}")
    return LayerInfo(shape)


def glu(arguments: Arguments, shape: Shape) -> LayerInfo:
    """Gated linear unit: the first half of a dimension times the sigmoid of the second half."""
    axis = dimension(arguments, "dim", shape)
    if shape[axis] % 2:
        raise InvalidLayerError(
            f"dimension {axis} of {format_sample(shape)} is {shape[axis]}, which is odd", "make it even"
        )
    return LayerInfo((*shape[:axis], shape[axis] // 2, *shape[axis + 1 :]))


def prelu(arguments: Arguments, shape: Shape) -> LayerInfo:
    """A learned slope below 0: one parameter, or one for each channel."""
    parameters = arguments.integer("num_parameters", 1)
    arguments.number("init")
    channels = shape[1] if len(shape) > 1 else 1
    if parameters not in {1, channels}:
        raise InvalidLayerError(f"num_parameters={parameters}, got {channels} channels", f"write 1 or {channels}")
    return LayerInfo(shape, parameters=parameters)


def identity(_arguments: Arguments, shape: Shape) -> LayerInfo:
    """The input itself."""
    return LayerInfo(shape, is_view=True)


def dimension(arguments: Arguments, name: str, shape: Shape) -> int:
    """A dimension argument, counted from 0, the batch; negative ones count from the end."""
    axis, count = arguments.integer(name), len(shape)
    if not -count <= axis < count:
        what = f"{name}={axis} is not a dimension of {format_sample(shape)} in a batch"
        raise InvalidLayerError(what, f"use {-count} to {count - 1}")
    return axis % count
