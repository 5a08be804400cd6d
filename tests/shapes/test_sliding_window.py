"""Sliding windows against counting, and stacks of layers against modules in a row."""

from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapes.drawn_layers import EVERY, Shape, layers
from shapes.torch_oracle import Truth, ask_torch

from dlnotes_cli.shapes import analyze
from dlnotes_cli.shapes.rules.windows import PIXEL, Slide, Transposed, Window
from dlnotes_cli.shell.errors import InputError

SLIDES = st.builds(
    Slide,
    size=st.integers(1, 30),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 5),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
    dilation=st.integers(1, 3),
    ceil=st.just(value=False),
)


def starts(slide: Slide) -> Iterator[int]:
    """Where windows start, moved step by step, the left padding included in the positions."""
    position = 0
    while position + slide.extent <= slide.before + slide.size + slide.after:
        yield position
        position += slide.stride


@given(SLIDES)
def test_size_is_the_number_of_windows_that_fit(slide: Slide) -> None:
    assume(slide.travel >= 0)
    assert slide.output == len(list(starts(slide)))


@pytest.mark.parametrize(("size", "expected"), [(32, 16), (10, 5), (7, 4)])
def test_ceil_mode_keeps_the_last_window_inside(size: int, expected: int) -> None:
    slide = Slide(size, 1, 2, 0, 0, ceil=True)
    assert slide.output == expected
    assert torch.nn.MaxPool2d(1, 2, ceil_mode=True)(torch.zeros(1, 1, size, size)).shape[-1] == expected


def test_formulas() -> None:
    assert Slide(130, 3, 1, 0, 0).formula == "floor((130 - 3 + 2*0) / 1) + 1 = 128"
    assert Slide(32, 3, 2, 1, 1, 2).formula == "floor((32 - 2*(3 - 1) - 1 + 2*1) / 2) + 1 = 15"
    assert Slide(8, 4, 1, 1, 2).formula == "floor((8 - 4 + 3) / 1) + 1 = 8"
    assert Slide(7, 2, 2, 0, 0, ceil=True).formula == "ceil((7 - 2 + 2*0) / 2) + 1 = 4"
    assert Slide(32, 1, 2, 0, 0, ceil=True).formula == (
        "ceil((32 - 1 + 2*0) / 2) + 1 = 17, less 1 as the last window would start at 32 of 32: 16"
    )
    assert Transposed(16, 3, 2, 1, 2, 1).formula == "(16 - 1)*2 - 2*1 + 2*(3 - 1) + 1 + 1 = 34"


@given(SLIDES)
def test_formulas_are_arithmetic_that_holds(slide: Slide) -> None:
    left, _, right = slide.formula.partition(" = ")
    assert eval(left, {"floor": lambda value: value // 1}) == int(right)  # noqa: S307  # what the formula says


def test_windows_within_windows() -> None:
    pairs, triples = Window((0,), (1,), 2), Window((-1,), (1,), 1)
    assert PIXEL.through(pairs) == pairs
    assert pairs.through(triples) == Window((-2,), (3,), 2)
    halves = Window((0, 0), (0, 0), 1)  # a position read twice
    assert pairs.through(halves) == Window((0, 0), (1, 1), 2)
    assert (halves.jump, halves.start, pairs.start) == (Fraction(1, 2), Fraction(1, 2), Fraction(1))


CHAINABLE = [name for name in EVERY if name not in {"RNN", "LSTM", "GRU", "Embedding"} and "Fold" not in name]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_stacks_agree_with_modules_in_a_row(data: st.DataObject) -> None:
    size: Shape = (4, 12, 12)
    words: list[str] = []
    parameters = macs = 0
    for _ in range(5):
        text, _ = data.draw(layers(st.sampled_from(CHAINABLE), st.just(size)))
        truth = ask_torch(text, size)
        if isinstance(truth, Truth) and 0 not in truth.shape and truth.shape[0] == 1:
            try:
                analyze(f"{text}\nIdentity()", size)
            except InputError:
                continue  # refused on purpose, alone or before another layer, which other tests hold
            words.append(text)
            size, parameters, macs = truth.shape[1:], parameters + truth.parameters, macs + truth.macs
    assume(words)
    report = analyze("\n".join(words), (4, 12, 12))
    assert (report.output, report.parameters, report.macs) == (size, parameters, macs)


HUGE = st.sampled_from([1, 3, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, 10**30])


@given(st.sampled_from(EVERY), st.lists(HUGE, min_size=1, max_size=6), st.lists(HUGE, min_size=1, max_size=4))
def test_huge_numbers_are_answered_or_refused(name: str, values: list[int], size: list[int]) -> None:
    try:
        report = analyze(f"{name}({', '.join(map(str, values))})", tuple(min(one, 2**63 - 1) for one in size))
    except InputError:
        return
    assert all(one >= 1 for one in report.output)
