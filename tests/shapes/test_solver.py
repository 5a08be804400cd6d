"""Settings that give a wanted size, against trying every value."""

import contextlib
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.shapes import Setting, analyze, parse_layers, solve
from dlnotes_cli.shapes.course_remarks import gram_sizes
from dlnotes_cli.shapes.names import Unknown
from dlnotes_cli.shapes.solver import Solutions, settings_of
from dlnotes_cli.shell.errors import InputError

LAST = 60  # no wanted size below needs a larger value, but for strides without end


def accepted(setting: Setting, unknown: Unknown, value: int) -> int | None:
    """The size that a value gives, None where the layer refuses it; by way of a layer of one axis."""
    setting = setting.having(unknown, value)
    stride = setting.kernel if setting.stride is None else setting.stride
    common = f"{setting.kernel}, stride={stride}, padding={setting.padding}, dilation={setting.dilation}"
    if setting.is_transposed:
        text = f"ConvTranspose1d(1, 1, {common}, output_padding={setting.output_padding})"
    elif setting.is_pool:
        text = f"MaxPool1d({common}, ceil_mode={setting.ceil})"
    else:
        text = f"Conv1d(1, 1, {common})"
    with contextlib.suppress(InputError):
        return analyze(text, (1, setting.size)).output[-1]
    return None


@st.composite
def settings(draw: st.DrawFn) -> Setting:
    kind = draw(st.sampled_from(["conv", "pool", "transposed"]))
    kernel = draw(st.integers(1, 5))
    stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    return Setting(
        draw(st.integers(1, 12)),
        kernel=kernel,
        stride=draw(st.sampled_from([stride, None])) if kind == "pool" else stride,
        padding=draw(st.integers(0, kernel // 2 if kind == "pool" else 3)),
        dilation=dilation,
        output_padding=draw(st.integers(0, max(stride, dilation) - 1)) if kind == "transposed" else 0,
        is_transposed=kind == "transposed",
        is_pool=kind == "pool",
        ceil=kind == "pool" and draw(st.booleans()),
    )


@given(settings(), st.sampled_from(get_args(Unknown)), st.integers(1, 14))
def test_every_value_and_no_other(setting: Setting, unknown: Unknown, want: int) -> None:
    if unknown == "output_padding" and not setting.is_transposed:
        return
    if unknown == "stride":
        setting = replace(setting, stride=1)
    tried = [value for value in range(LAST) if accepted(setting, unknown, value) == want]
    try:
        found = solve(unknown, want, [setting])
    except InputError:
        assert tried == []
    else:
        assert list(found.first(LAST - found.lowest)) == tried


def test_rounding_up_lets_a_long_stride_reach_beyond_the_input() -> None:
    wide = Setting(1, kernel=3, dilation=3, is_pool=True, ceil=True)
    assert solve("stride", 1, [wide]) == Solutions(7, None)
    assert [accepted(wide, "stride", stride) for stride in (6, 7, 8)] == [None, 1, 1]
    assert solve("kernel", 1, [Setting(3, stride=None, is_pool=True, ceil=True)]) == Solutions(3, None)
    assert accepted(Setting(3, kernel=50, stride=None, is_pool=True, ceil=True), "padding", 0) == 1


def test_the_course_in_letters() -> None:
    assert solve("padding", 130, [Setting(130, kernel=3)]) == Solutions(1, 1)
    assert solve("kernel", 32, [Setting(128, kernel=1, stride=4)]) == Solutions(1, 4)
    assert solve("stride", 32, [Setting(128, kernel=4)]) == Solutions(4, 4)
    assert solve("output_padding", 32, [Setting(16, kernel=3, stride=2, padding=1, is_transposed=True)]) == Solutions(
        1, 1
    )


def test_strides_without_end() -> None:
    found = solve("stride", 1, [Setting(8, kernel=3)])
    assert found == Solutions(6, None)
    assert list(found.first(3)) == [6, 7, 8]


def test_huge_sizes_are_instant() -> None:
    assert solve("padding", 10**15, [Setting(10**15, kernel=3)]) == Solutions(1, 1)
    found = solve("stride", 2, [Setting(10**15, kernel=1)])
    assert (found.lowest, found.highest) == (5 * 10**14, 10**15 - 1)


def test_no_value_names_the_nearest_sizes() -> None:
    with pytest.raises(InputError, match=r"--want: no padding gives 129; padding=0 gives 128, padding=1 gives 130"):
        solve("padding", 129, [Setting(130, kernel=3)])


def test_all_axes_at_once() -> None:
    (layer,) = parse_layers("Conv2d(3, 8, (3, 5))")
    assert solve("stride", 10, settings_of(layer, (3, 32, 32))) == Solutions(3, 3)
    with pytest.raises(InputError, match="no padding gives 32 on every axis"):
        solve("padding", 32, settings_of(layer, (3, 32, 32)))


def test_pooling_moves_by_its_kernel_where_no_stride_is_given() -> None:
    (layer,) = parse_layers("MaxPool2d(2)")
    assert solve("kernel", 8, settings_of(layer, (3, 32, 32))) == Solutions(4, 4)
    (layer,) = parse_layers("MaxPool2d(2, stride=2)")
    assert solve("kernel", 8, settings_of(layer, (3, 32, 32))) == Solutions(17, 18)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Linear(32, 2)", "has no sliding kernel"),
        ("Unfold(3)", "has no sliding kernel"),
        ("Residual(Conv2d(3, 3, 3, padding=1))", "has no sliding kernel"),
        ("Conv2d(3, 8, 4, padding='same')", "not the same on both sides"),
    ],
)
def test_layers_that_cannot_be_solved(text: str, complaint: str) -> None:
    (layer,) = parse_layers(text)
    with pytest.raises(InputError, match=complaint):
        settings_of(layer, (3, 32, 32))


def test_output_padding_belongs_to_transposed_convolutions() -> None:
    with pytest.raises(InputError, match="transposed"):
        solve("output_padding", 32, [Setting(32, kernel=3)])


def test_gram() -> None:
    assert gram_sizes((20, 8, 8)) == ((20, 64), (20, 20))
    with pytest.raises(InputError, match="--gram: 20 has no space"):
        gram_sizes((20,))
