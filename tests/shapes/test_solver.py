"""The formula of the output size: true when evaluated, and its solutions compared with trying every value."""

import contextlib
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.shapes.choices import Hyperparameter
from dlnotes_cli.shapes.layer import INT64
from dlnotes_cli.shapes.parsing.layer_list import parse_layers
from dlnotes_cli.shapes.report import analyze
from dlnotes_cli.shapes.sliding_window import SlidingWindow, TransposedWindow
from dlnotes_cli.shapes.solver import Axis, layer_axes, solve
from dlnotes_cli.shell.errors import InputError

LAST = 60  # every target size below has its solutions up to here, except unlimited strides


def output_size(axis: Axis, unknown: Hyperparameter, value: int) -> int | None:
    """The output size of a layer of one axis with that value, None where the layer is invalid."""
    window = axis.with_value(unknown, value)
    padding = window.padding if isinstance(window, TransposedWindow) else window.pad_before
    common = f"{window.kernel}, stride={window.stride}, padding={padding}, dilation={window.dilation}"
    if isinstance(window, TransposedWindow):
        text = f"ConvTranspose1d(1, 1, {common}, output_padding={window.output_padding})"
    elif axis.is_pool:
        text = f"MaxPool1d({common}, ceil_mode={window.ceil_mode})"
    else:
        text = f"Conv1d(1, 1, {common})"
    with contextlib.suppress(InputError):
        return analyze(text, (1, window.input_size)).output[-1]
    return None


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    size, kernel = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["conv", "pool", "transposed"]))
    padding = draw(st.integers(0, kernel // 2 if kind == "pool" else 3))
    if kind == "transposed":
        output_padding = draw(st.integers(0, max(stride, dilation) - 1))
        return Axis(TransposedWindow(size, kernel, stride, padding, dilation, output_padding))
    is_pool, follows = kind == "pool", kind == "pool" and draw(st.booleans())
    step, ceil_mode = kernel if follows else stride, is_pool and draw(st.booleans())
    return Axis(SlidingWindow(size, kernel, step, padding, padding, dilation, ceil_mode), is_pool, follows)


@given(axes())
def test_formulas_are_true_when_evaluated(axis: Axis) -> None:
    left, _, right = axis.window.formula.partition(" = ")
    if "less 1" not in right and axis.window.output > 0:
        functions = {"floor": lambda value: value // 1, "ceil": lambda value: -(-value // 1)}
        assert eval(left, functions) == int(right) == axis.window.output  # noqa: S307  # a formula of ours


@given(axes(), st.sampled_from(get_args(Hyperparameter)), st.integers(1, 14))
def test_solutions_are_those_found_by_trying_every_value(axis: Axis, unknown: Hyperparameter, target: int) -> None:
    if unknown == "output_padding" and not isinstance(axis.window, TransposedWindow):
        return
    expected = [value for value in range(LAST) if output_size(axis, unknown, value) == target]
    try:
        solutions = solve(unknown, target, [axis])
    except InputError:
        assert expected == []
    else:
        assert [value for value in solutions[:LAST] if value < LAST] == expected


def pool(size: int, kernel: int, dilation: int = 1, *, follows: bool = False) -> Axis:
    return Axis(SlidingWindow(size, kernel, dilation=dilation, ceil_mode=True), is_pool=True, follows_kernel=follows)


@pytest.mark.parametrize(
    ("unknown", "target", "axis", "solutions"),
    [
        ("stride", 1, pool(1, 3, 3), range(7, INT64)),  # with ceil_mode, a long stride keeps one window
        ("kernel", 1, pool(3, 1, follows=True), range(3, INT64)),
        ("padding", 10**15, Axis(SlidingWindow(10**15, 3)), range(1, 2)),
        ("stride", 2, Axis(SlidingWindow(10**15, 1)), range(5 * 10**14, 10**15)),
    ],
)
def test_unlimited_and_huge_solutions(unknown: Hyperparameter, target: int, axis: Axis, solutions: range) -> None:
    assert solve(unknown, target, [axis]) == solutions
    if axis.is_pool:
        sizes = [output_size(axis, unknown, value) for value in (solutions.start - 1, solutions.start, 99)]
        assert (sizes[0] != target, sizes[1:]) == (True, [target, target])


@pytest.mark.parametrize(
    ("text", "unknown", "target", "solutions"),
    [
        ("Conv2d(3, 8, (3, 5))", "stride", 10, range(3, 4)),
        ("MaxPool2d(2)", "kernel", 8, range(4, 5)),  # the stride follows the kernel unless it is stated
        ("MaxPool2d(2, stride=2)", "kernel", 8, range(17, 19)),
        ("Conv2d(3, 8, (3, 5))", "padding", 32, "no padding gives 32 on every axis"),
        ("MaxPool2d(2, 1, 1)", "kernel", 34, "no kernel gives 34"),  # a kernel of 1 has no half for its padding
        ("Linear(32, 2)", "stride", 1, "has no sliding kernel"),
        ("Unfold(3)", "stride", 1, "has no sliding kernel"),
        ("Residual(Conv2d(3, 3, 3, padding=1))", "stride", 1, "has no sliding kernel"),
        ("Conv2d(3, 8, 4, padding='same')", "stride", 1, "differs between the two sides"),
    ],
)
def test_the_axes_of_a_layer(text: str, unknown: Hyperparameter, target: int, solutions: range | str) -> None:
    (layer,) = parse_layers(text)
    if isinstance(solutions, range):
        assert solve(unknown, target, layer_axes(layer, (3, 32, 32))) == solutions
    else:
        with pytest.raises(InputError, match=solutions):
            solve(unknown, target, layer_axes(layer, (3, 32, 32)))
