"""The descriptions of kernels, against the frequency response from NumPy's FFT."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dlnotes_cli.filter.kernels.catalog import NAMES, named_kernel
from dlnotes_cli.filter.kernels.description import describe
from dlnotes_cli.filter.kernels.kernel import Kernel


@pytest.mark.parametrize(
    ("name", "passes", "direction"),
    [
        ("sobel-x", "high-pass", "vertical edges; brighter to the right gives positive values"),
        ("quiz-d", "high-pass", "horizontal edges; brighter to the bottom gives positive values"),
        ("notes-4x4-2", "high-pass", "vertical edges; brighter to the left gives positive values"),
        ("notes-4x4-4", "high-pass", "horizontal edges; brighter to the top gives positive values"),
        ("roberts-x", "high-pass", "rising diagonal edges; brighter to the upper left gives positive values"),
        ("roberts-y", "high-pass", "falling diagonal edges; brighter to the upper right gives positive values"),
        ("high-pass", "high-pass", "none: all directions alike"),
        ("quiz-a", "high-pass", "none: all directions alike"),
        ("quiz-c", "high-pass", "most along the horizontal"),
        ("log", "high-pass", "none: all directions alike"),
        ("gradient", "high-pass", "all directions: magnitude of two responses"),
        ("box", "low-pass", "none: all directions alike"),
        ("gaussian", "low-pass", "none: all directions alike"),
        ("motion", "low-pass", "most along the horizontal"),
        ("sharpen", "high-boost", "none: all directions alike"),
        ("unsharp", "high-boost", "none: all directions alike"),
        ("identity", "all-pass", "none: all directions alike"),
    ],
)
def test_passes_and_direction_of_named_kernels(name: str, passes: str, direction: str) -> None:
    description = describe(named_kernel(name))
    assert (description.passes, description.direction) == (passes, direction)


@given(arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(-4, 4).map(float)))
def test_passes_follow_from_the_frequency_response(weights: np.ndarray) -> None:
    description = describe(Kernel("any", tuple(map(tuple, weights.tolist()))))
    magnitudes = np.abs(np.fft.fft2(weights, (24, 24)))
    at_zero = abs(weights.sum())
    if not weights.any():
        expected = "nothing"
    elif np.ptp(magnitudes) < 1e-6:
        expected = "all-pass"
    elif at_zero == 0:
        expected = "high-pass"
    elif magnitudes.max() <= at_zero + 1e-6:
        expected = "low-pass"
    else:
        expected = "high-boost" if magnitudes.min() >= at_zero - 1e-6 else "mixed"
    assert description.passes == expected


def test_directions_between_the_axes_are_given_in_degrees() -> None:
    assert describe(Kernel("tilted", ((-1.0, 0.0, 0.5), (-2.0, 0.0, 2.0), (-0.5, 0.0, 1.0)))).direction.startswith(
        "98-degree edges; brighter 8 degrees below the right"
    )
    assert describe(Kernel("leaning", ((1.0, 2.0), (3.0, 4.0)))).direction == "heavier 63 degrees below the right"
    assert describe(named_kernel("emboss")).direction == "heavier to the lower right"
    assert describe(Kernel("zero", ((0.0,),))).direction == "none: all weights are 0"


@pytest.mark.parametrize("name", NAMES)
def test_json_has_the_weights_and_their_separation(name: str) -> None:
    fields = json.loads(json.dumps(describe(named_kernel(name)).as_json()))
    assert np.shape(fields["matrix"]) == tuple(fields["size"])
    if fields["separable"]:
        np.testing.assert_allclose(np.outer(fields["column"], fields["row"]), fields["matrix"], atol=1e-9)
