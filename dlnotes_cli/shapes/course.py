"""The course's own arithmetic: notes on a report where the course is imprecise or wrong, and Gram-matrix sizes."""

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING

from dlnotes_cli.shapes.layer import Shape, format_shape
from dlnotes_cli.shapes.sliding_window import SlidingWindow
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from dlnotes_cli.shapes.tracing import TracedLayer

_QUIZ_INPUT = (3, 130, 130)
_QUIZ_LAYERS = (  # lesson 5, Q5: type, output shape and parameters of each layer
    ("Conv2d", (10, 128, 128), 280),
    ("MaxPool2d", (10, 32, 32), 0),
    ("Conv2d", (20, 32, 32), 5020),
    ("MaxPool2d", (20, 16, 16), 0),
)


def course_notes(shape: Shape, traced: Sequence["TracedLayer"], *, is_code: bool) -> Iterator[str]:
    """Yield each note that applies to layers and their input, once; code says itself what recurrent layers pass on."""
    layers = tuple((one.layer.name, one.output, one.info.parameters) for one in traced)
    if shape == _QUIZ_INPUT and layers == _QUIZ_LAYERS:
        yield (
            f"the course's quiz calls 16*16*20 = {traced[-1].values:,} 'parameters', but these are the output's "
            f"values; the parameters are {sum(one.info.parameters for one in traced):,}"
        )
        yield "the course's quiz says that 130x130 'shrinks by one' in the first layer; it shrinks by 2, to 128x128"
    for rule in (_rounding, _unread_values):
        texts = ((position, one.layer.text, rule(one)) for position, one in enumerate(traced, 1))
        yield from next(([f"layer {position}, {name}: {text}"] for position, name, text in texts if text), [])
    recurrent = next((position for position, one in enumerate(traced, 1) if one.info.states), 0)
    if recurrent:
        one = traced[recurrent - 1]
        name = f"layer {recurrent}, {one.layer.text}"
        if len(one.input) == 1:
            yield f"{name}: the input has no time steps, so PyTorch reads the batch as one sequence"
        if recurrent < len(traced) and not is_code:
            yield f"{name}: the next layer gets its output; in nn.Sequential it would get the state as well and fail"


def rounding_note(window: SlidingWindow) -> str:
    """What the course's formula gives where it is not a whole number, else ""."""
    if window.ceil_mode or window.max_offset % window.stride == 0:
        return ""
    exact = f"({window.numerator}) / {window.stride} + 1 = {window.max_offset / window.stride + 1:g}"
    return f"the course's formula has no floor: {exact}; sizes are rounded down, to {window.output}"


def gram_sizes(shape: Shape) -> tuple[Shape, Shape]:
    """The sizes of a vectorized feature map, channels x positions, and of its Gram matrix, channels x channels.

    Raises InputError for a shape that has no spatial size.

    >>> gram_sizes((20, 8, 8))
    ((20, 64), (20, 20))
    """
    if len(shape) < 2:  # noqa: PLR2004  # channels and a spatial size
        raise InputError("--gram", f"{format_shape(shape)} has no spatial size to vectorize", "use a shape CxHxW")
    return (shape[0], prod(shape[1:])), (shape[0], shape[0])


def _rounding(traced: "TracedLayer") -> str:
    windows = (window for window in traced.windows if isinstance(window, SlidingWindow))
    return next(filter(None, map(rounding_note, windows)), "")


def _unread_values(traced: "TracedLayer") -> str:
    windows = [window for window in traced.windows if isinstance(window, SlidingWindow)]
    read = prod(min(window.kernel, window.stride) for window in windows)
    total = prod(window.stride for window in windows)
    if "Pool" not in traced.layer.name or read == total or all(window.output == 1 for window in windows):
        return ""
    return f"reads {read} of every {total} values ({read / total:.0%}); a kernel as wide as the stride reads all"
