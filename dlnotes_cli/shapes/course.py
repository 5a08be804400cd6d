"""The course's own arithmetic: notes on a report where the course is imprecise or wrong, and Gram-matrix sizes."""

from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING

from dlnotes_cli.shapes.layer import Shape, format_shape
from dlnotes_cli.shapes.sliding_window import SlidingWindow
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from dlnotes_cli.shapes.report import NetworkReport
    from dlnotes_cli.shapes.tracing import TracedLayer

_QUIZ_INPUT = (3, 130, 130)
_QUIZ_LAYERS = (  # lesson 5, Q5: type, output shape and parameters of each layer
    ("Conv2d", (10, 128, 128), 280),
    ("MaxPool2d", (10, 32, 32), 0),
    ("Conv2d", (20, 32, 32), 5020),
    ("MaxPool2d", (20, 16, 16), 0),
)


def course_notes(report: "NetworkReport") -> Iterator[str]:
    """Yield each note that applies to a report, once."""
    yield from _quiz_notes(report)
    yield from _first(report, _rounding)
    yield from _first(report, _unread_values)
    yield from _state_notes(report)


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


def _quiz_notes(report: "NetworkReport") -> Iterator[str]:
    layers = tuple((traced.layer.name, traced.output, traced.info.parameters) for traced in report.traced)
    if report.input == _QUIZ_INPUT and layers == _QUIZ_LAYERS:
        yield (
            f"the course's quiz calls 16*16*20 = {report.values:,} 'parameters', but these are the output's values; "
            f"the parameters are {report.parameters:,}"
        )
        yield "the course's quiz says that 130x130 'shrinks by one' in the first layer; it shrinks by 2, to 128x128"


def _first(report: "NetworkReport", rule: "Callable[[TracedLayer], str]") -> Iterator[str]:
    """The note of the first layer to which a rule applies."""
    for position, traced in enumerate(report.traced, 1):
        text = rule(traced)
        if text:
            yield f"layer {position}, {traced.layer.text}: {text}"
            return


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


def _state_notes(report: "NetworkReport") -> Iterator[str]:
    for position, traced in enumerate(report.traced, 1):
        name = f"layer {position}, {traced.layer.text}"
        if traced.info.states and len(traced.input) == 1:
            yield f"{name}: the input has no time steps, so PyTorch reads the batch as one sequence"
        if traced.info.states and position < len(report.traced) and not report.is_code:
            yield f"{name}: the next layer gets its output; in nn.Sequential it would get the state as well and fail"
            return
