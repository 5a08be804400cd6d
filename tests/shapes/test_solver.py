"""Solutions of the output-size formula, compared with trying every value."""

import contextlib
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.shapes import WindowSpec, analyze, parse_layers, solve
from dlnotes_cli.shapes.choices import Hyperparameter
from dlnotes_cli.shapes.solver import Solutions, layer_axes
from dlnotes_cli.shell.errors import InputError

LAST = 60  # every target size below has its solutions up to here, except unlimited strides


def output_size(axis: WindowSpec, unknown: Hyperparameter, value: int) -> int | None:
    """The output size of a layer of one axis with that value, None where the layer is invalid."""
    axis = axis.with_value(unknown, value)
    stride = axis.kernel if axis.stride is None else axis.stride
    common = f"{axis.kernel}, stride={stride}, padding={axis.padding}, dilation={axis.dilation}"
    if axis.is_transposed:
        text = f"ConvTranspose1d(1, 1, {common}, output_padding={axis.output_padding})"
    elif axis.is_pool:
        text = f"MaxPool1d({common}, ceil_mode={axis.ceil_mode})"
    else:
        text = f"Conv1d(1, 1, {common})"
    with contextlib.suppress(InputError):
        return analyze(text, (1, axis.input_size)).output[-1]
    return None


@st.composite
def axes(draw: st.DrawFn) -> WindowSpec:
    kind = draw(st.sampled_from(["conv", "pool", "transposed"]))
    kernel = draw(st.integers(1, 5))
    stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    return WindowSpec(
        draw(st.integers(1, 12)),
        kernel=kernel,
        stride=draw(st.sampled_from([stride, None])) if kind == "pool" else stride,
        padding=draw(st.integers(0, kernel // 2 if kind == "pool" else 3)),
        dilation=dilation,
        output_padding=draw(st.integers(0, max(stride, dilation) - 1)) if kind == "transposed" else 0,
        is_transposed=kind == "transposed",
        is_pool=kind == "pool",
        ceil_mode=kind == "pool" and draw(st.booleans()),
    )


@given(axes(), st.sampled_from(get_args(Hyperparameter)), st.integers(1, 14))
def test_solutions_are_those_found_by_trying_every_value(
    axis: WindowSpec, unknown: Hyperparameter, target: int
) -> None:
    if unknown == "output_padding" and not axis.is_transposed:
        return
    if unknown == "stride":
        axis = replace(axis, stride=1)
    expected = [value for value in range(LAST) if output_size(axis, unknown, value) == target]
    try:
        solutions = solve(unknown, target, [axis])
    except InputError:
        assert expected == []
    else:
        assert list(solutions.first(LAST - solutions.lowest)) == expected


def test_ceil_mode_allows_a_kernel_wider_than_the_input_if_the_stride_is_long() -> None:
    wide = WindowSpec(1, kernel=3, dilation=3, is_pool=True, ceil_mode=True)
    assert solve("stride", 1, [wide]) == Solutions(7, None)
    assert [output_size(wide, "stride", stride) for stride in (6, 7, 8)] == [None, 1, 1]
    assert solve("kernel", 1, [WindowSpec(3, stride=None, is_pool=True, ceil_mode=True)]) == Solutions(3, None)
    assert output_size(WindowSpec(3, kernel=50, stride=None, is_pool=True, ceil_mode=True), "padding", 0) == 1


def test_huge_sizes_are_solved_by_bisection() -> None:
    assert solve("padding", 10**15, [WindowSpec(10**15, kernel=3)]) == Solutions(1, 1)
    solutions = solve("stride", 2, [WindowSpec(10**15, kernel=1)])
    assert (solutions.lowest, solutions.highest) == (5 * 10**14, 10**15 - 1)


def test_all_axes_at_once() -> None:
    (layer,) = parse_layers("Conv2d(3, 8, (3, 5))")
    assert solve("stride", 10, layer_axes(layer, (3, 32, 32))) == Solutions(3, 3)
    with pytest.raises(InputError, match="no padding gives 32 on every axis"):
        solve("padding", 32, layer_axes(layer, (3, 32, 32)))


def test_the_stride_of_pooling_follows_the_kernel_unless_it_is_stated() -> None:
    (layer,) = parse_layers("MaxPool2d(2)")
    assert solve("kernel", 8, layer_axes(layer, (3, 32, 32))) == Solutions(4, 4)
    (layer,) = parse_layers("MaxPool2d(2, stride=2)")
    assert solve("kernel", 8, layer_axes(layer, (3, 32, 32))) == Solutions(17, 18)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Linear(32, 2)", "has no sliding kernel"),
        ("Unfold(3)", "has no sliding kernel"),
        ("Residual(Conv2d(3, 3, 3, padding=1))", "has no sliding kernel"),
        ("Conv2d(3, 8, 4, padding='same')", "differs between the two sides"),
    ],
)
def test_layers_that_cannot_be_solved(text: str, message: str) -> None:
    (layer,) = parse_layers(text)
    with pytest.raises(InputError, match=message):
        layer_axes(layer, (3, 32, 32))
