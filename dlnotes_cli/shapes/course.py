"""Notes on a report: what students misread in recurrent layers, and with `--explain` where the course is imprecise."""

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING

from dlnotes_cli.shapes.layer import Shape
from dlnotes_cli.shapes.sliding_window import SlidingWindow

if TYPE_CHECKING:
    from dlnotes_cli.shapes.tracing import TracedLayer

_QUIZ_INPUT = (3, 130, 130)
_QUIZ_LAYERS = (  # lesson 5, Q5: type, output shape and parameters of each layer
    ("Conv2d", (10, 128, 128), 280),
    ("MaxPool2d", (10, 32, 32), 0),
    ("Conv2d", (20, 32, 32), 5020),
    ("MaxPool2d", (20, 16, 16), 0),
)


def course_notes(shape: Shape, traced: Sequence["TracedLayer"]) -> Iterator[str]:
    """Yield each note on the course that applies to layers and their input, once."""
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


def recurrent_notes(traced: Sequence["TracedLayer"], *, is_code: bool) -> Iterator[str]:
    """Yield what PyTorch does with the input and the output of the first recurrent layer; code says the latter."""
    position = next((position for position, one in enumerate(traced, 1) if one.info.states), 0)
    if position:
        one = traced[position - 1]
        if len(one.input) == 1:
            what = "the input has no time steps, so PyTorch reads the batch as one sequence"
            yield f"layer {position}, {one.layer.text}: {what}"
        if position < len(traced) and not is_code:
            what = "the next layer gets its output; in nn.Sequential it would get the state as well and fail"
            yield f"layer {position}, {one.layer.text}: {what}"


def _rounding(traced: "TracedLayer") -> str:
    notes = (window.course_note for window in traced.windows if isinstance(window, SlidingWindow))
    return next(filter(None, notes), "")


def _unread_values(traced: "TracedLayer") -> str:
    windows = [window for window in traced.windows if isinstance(window, SlidingWindow)]
    read = prod(min(window.kernel, window.stride) for window in windows)
    total = prod(window.stride for window in windows)
    if "Pool" not in traced.layer.name or read == total or all(window.output == 1 for window in windows):
        return ""
    return f"reads {read} of every {total} values ({read / total:.0%}); a kernel as wide as the stride reads all"
