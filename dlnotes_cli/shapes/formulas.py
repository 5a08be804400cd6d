"""The formulas of a layer's sizes, counts and receptive field, with their numbers, as `--explain` prints them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlnotes_cli.shapes.receptive_field import ReceptiveField
from dlnotes_cli.shapes.sliding_window import SlidingWindow
from dlnotes_cli.shapes.tracing import TracedLayer

if TYPE_CHECKING:
    from fractions import Fraction

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def layer_formulas(traced: TracedLayer, before: ReceptiveField) -> Iterator[tuple[str, str]]:
    """Yield quantity and formula: the size of each axis, parameters, MACs, receptive field.

    `before` is the receptive field of the layer's input. Axes with the same formula share one entry.
    """
    sizes = traced.info.size_formulas or tuple(window.formula for window in traced.windows)
    if len(set(sizes)) == 1:
        yield "size", sizes[0]
    else:
        yield from zip(AXES.get(len(sizes), map(str, range(len(sizes)))), sizes, strict=False)
    yield from traced.info.count_formulas
    yield from _receptive_field_formulas(traced, before)


def _receptive_field_formulas(traced: TracedLayer, before: ReceptiveField) -> Iterator[tuple[str, str]]:
    """The recurrence r_out = r_in + dilation * (kernel - 1) * jump_in along each axis (Araujo et al. 2019)."""
    windows = [window for window in traced.windows if isinstance(window, SlidingWindow)]
    sizes, jumps, results = before.size, before.jump, traced.receptive_field.size
    if not windows or not sizes or not jumps or not results or len(windows) != len(sizes):
        return
    texts = [
        f"{size} + {_dilation_factor(window)}({window.kernel} - 1)*{_text(jump)} = {result}"
        for window, size, jump, result in zip(windows, sizes, jumps, results, strict=True)
    ]
    if len(set(texts)) == 1:
        yield "receptive field", texts[0]
    else:
        yield from ((f"receptive field, {axis}", text) for axis, text in zip(AXES[len(texts)], texts, strict=True))


def _dilation_factor(window: SlidingWindow) -> str:
    return "" if window.dilation == 1 else f"{window.dilation}*"


def _text(value: "int | Fraction") -> str:
    return str(value) if value.denominator == 1 else f"({value})"
