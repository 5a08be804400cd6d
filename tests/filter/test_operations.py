"""`filter --op` and pooling against NumPy's windows; the bilateral filter; what Canny's edges are drawn along."""

import math
from typing import Any

import numpy as np
import pytest
from builders import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.typing import NDArray

from dlnotes_cli.filter.correlation import Border
from dlnotes_cli.filter.operations import OPERATIONS, bilateral, canny, parse_operations
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.filter.response import KernelChain, respond
from dlnotes_cli.shell.errors import InputError

BORDERS: dict[Border, Any] = {"extend": "edge", "reflect": "reflect", "wrap": "wrap", "pad": "constant"}  # of numpy.pad
STEPS: dict[str, list[Any]] = {
    "median": [np.median], "erode": [np.min], "dilate": [np.max], "open": [np.min, np.max], "close": [np.max, np.min],
}  # fmt: skip
SIDES = st.integers(6, 11)
IMAGES = stn.arrays(np.uint8, st.tuples(SIDES, SIDES, st.sampled_from([1, 3])))


def windows(values: NDArray[Any], side: int, border: Border) -> NDArray[Any]:
    """The window around each pixel of (H, W, C): (H, W, C, side, side), of fewer pixels if the border is cropped."""
    margin = side // 2
    padding = ((margin, margin), (margin, margin), (0, 0))
    padded = values if border == "crop" else np.pad(values, padding, BORDERS[border])
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side), (0, 1))


def apply(values: NDArray[Any], text: str, border: Border = "extend", white: int = 255) -> NDArray[Any]:
    return parse_operations((text,))[0].apply(values, border, white)


@given(IMAGES, st.sampled_from(sorted(STEPS)), st.sampled_from([3, 5]), st.sampled_from([*BORDERS, "crop"]))
@settings(max_examples=60)
def test_rank_operations_are_those_of_every_window(
    values: NDArray[np.uint8], name: str, side: int, border: Border
) -> None:
    expected = values
    for step in STEPS[name]:
        if border == "crop" and side > min(expected.shape[:2]):
            return
        expected = step(windows(expected, side, border), (3, 4))
    for dtype in (np.uint8, np.float64):
        assert np.array_equal(apply(values.astype(dtype), f"{name}:{side}", border), expected)


@given(IMAGES, st.sampled_from(["max", "mean", "min"]), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=60)
def test_pooling_is_that_of_each_window(values: NDArray[np.uint8], kind: Any, size: int, step: int) -> None:
    found = respond(values, KernelChain(FilterConfig(pool=kind, size=size, stride=step), (), ()), 255).values
    expected = getattr(np, kind)(windows(values, size, "crop"), (3, 4))[::step, ::step]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("space", "tone", "channels", "border"), [(1.0, 30, 1, "extend"), (0.8, 90, 3, "crop")])
def test_the_bilateral_filter_is_the_formula_of_the_paper(
    space: float, tone: float, channels: int, border: Border
) -> None:
    values = np.random.default_rng(1).integers(0, 256, (9, 8, channels), dtype=np.uint8)
    radius = math.ceil(2 * space)
    neighbors = windows(values.astype(np.float64), 2 * radius + 1, border)
    offsets = np.arange(-radius, radius + 1) ** 2
    distances = offsets + offsets[:, None]
    differences = np.abs(neighbors - neighbors[..., radius, radius, None, None]).sum(2, keepdims=True)
    weights = np.exp(-distances / (2 * space**2) - differences**2 / (2 * tone**2)) * (distances <= radius**2)
    expected = (weights * neighbors).sum((3, 4)) / weights.sum((3, 4))
    np.testing.assert_allclose(bilateral(values, space, tone, border), expected, atol=1e-3)


@pytest.mark.parametrize("operation", ["bilateral:1:40", "canny:200:400:1"])
def test_brightness_is_in_units_of_a_white_of_255(operation: str) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (20, 24, 1), dtype=np.uint8)
    deep = apply(gray.astype(np.uint16) * 257, operation, white=65_535)
    np.testing.assert_allclose(deep / 257, apply(gray, operation), atol=1e-2)


def test_canny_draws_one_line_along_a_step_and_needs_a_strong_pixel() -> None:
    step = np.where(np.arange(20) < 10, 50.0, 150.0)[None, :, None].repeat(12, axis=0)
    edges = canny(step, 50, 100, 1.4, "extend")
    assert edges.sum(axis=1).max() == edges.sum(axis=1).min() == 1
    peak = 2 * (step[0, :, 0].max() - 50) * 4 / (1.4 * math.sqrt(2 * math.pi))  # of the gradient of a blurred step
    assert not canny(step, 50, 1.01 * peak, 1.4, "extend").any()
    assert canny(step, 50, 0.85 * peak, 1.4, "extend").any()
    fading = step * np.linspace(0.5, 1, 12)[:, None, None]  # the weak part is connected to the strong one
    assert canny(fading, 0.3 * peak, 0.85 * peak, 1.4, "extend").any(axis=1).all()
    assert not canny(fading, 0.8 * peak, 0.85 * peak, 1.4, "extend").any(axis=1).all()


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_canny_of_color_takes_the_strongest_channel(channels: int) -> None:
    gray = np.random.default_rng(3).integers(0, 100, (16, 16, 1)).astype(np.float64)
    gray[:, 8:] += 100
    color = np.full((16, 16, channels), 7.0)
    color[..., 1:2] = gray
    assert np.array_equal(canny(color, 40, 90, 1.0, "extend"), canny(gray, 40, 90, 1.0, "extend"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("medan", "unknown operation 'medan'; did you mean 'median'"),
        ("median:4", "median:4 is not an odd number of rows and columns; write median:3"),
        ("erode:x", "erode: 'x' is not a number; write erode:3"),
        ("open:nan", "open: nan is out of range"),
        ("median:3:5", "median has one number, got 2"),
        ("canny:100:50", "the lower threshold 100 of canny is above the upper one, 50"),
        ("canny:1:2:3:4", "canny has at most 3 numbers, got 4"),
        ("bilateral:0", "bilateral: 0 is out of range"),
        ("bilateral", "bilateral needs one channel or three, got 2; choose another one"),
        ("", "unknown operation ''"),
    ],
)
def test_wrong_operations_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match="--op: ") as caught:
        apply(np.zeros((4, 4, 2)), text)
    assert message in str(caught.value)


def test_every_operation_has_defaults() -> None:
    assert [operation.name for operation in parse_operations(OPERATIONS)] == list(OPERATIONS)
    assert parse_operations(("Median:5",))[0].label == "median-5"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--op median:3", "2 3 3\n4 6 6\n7 8 9\n"), ("--op open:3", "1 2 2\n4 6 6\n4 6 6\n"),
        ("--op erode:3 --op dilate:3", "1 2 2\n4 6 6\n4 6 6\n"),
        ("--op median:3 --kernel sobel-x", "5 5 0\n6 7 1\n5 8 3\n"),
    ],
)  # fmt: skip
def test_operations_come_one_after_another_in_front_of_the_kernels(words: str, expected: str, dlnotes: Command) -> None:
    outcome = dlnotes("filter", "--patch", "1 2 3; 4 99 6; 7 8 9", *words.split())
    assert (outcome.code, outcome.out) == (0, expected)
