"""Kernels: separation against the rank from NumPy, description against the frequency response from NumPy's FFT."""

import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dlnotes_cli.filter.catalog import NAMES, named_kernel
from dlnotes_cli.filter.kernel import Kernel, format_matrix, separate, weight_sum
from dlnotes_cli.shell.codec import to_json

WHOLE_NUMBERS = st.integers(-5, 5).map(float)


@given(
    arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=WHOLE_NUMBERS)
    | st.builds(np.outer, *[arrays(np.float64, st.integers(1, 6), elements=WHOLE_NUMBERS)] * 2)
)
def test_a_kernel_is_separable_if_its_rank_is_one_and_whole_weights_have_whole_factors(weights: np.ndarray) -> None:
    factors = separate(tuple(map(tuple, weights.tolist())))
    assert (factors is not None) == (np.linalg.matrix_rank(weights) == 1)
    if factors is not None:
        np.testing.assert_allclose(np.outer(*factors), weights, atol=1e-12)
        assert all(weight.is_integer() for line in factors for weight in line)


def test_a_sum_that_is_only_a_rounding_error_is_zero() -> None:
    assert weight_sum(((0.1, 0.2, -0.3),)) == 0
    assert weight_sum(((1e-12,),)) == 1e-12


def test_a_large_matrix_is_abbreviated() -> None:
    matrix = tuple(tuple(float(10 * y + x) for x in range(6)) for y in range(5))
    assert format_matrix(matrix, most=4) == [
        "  0   1 ...   4   5",
        " 10  11 ...  14  15",
        "... ... ... ... ...",
        " 30  31 ...  34  35",
        " 40  41 ...  44  45",
    ]
    assert format_matrix(matrix, most=6) == format_matrix(matrix)


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
        ("quiz-c", "high-pass", "mostly vertical lines"),
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
    description = named_kernel(name).description
    assert (description.passes, description.direction) == (passes, direction)


def reached_from_zero(passed: np.ndarray) -> np.ndarray:
    """The frequencies that are connected to frequency 0, in the middle, by steps along the axes."""
    reached, before = np.zeros_like(passed), 0
    reached[tuple(side // 2 for side in passed.shape)] = True
    while before != (before := int(reached.sum())):
        grown = np.pad(reached, 1)
        reached = passed & (grown[1:-1, 1:-1] | grown[:-2, 1:-1] | grown[2:, 1:-1] | grown[1:-1, :-2] | grown[1:-1, 2:])
    return reached


def assert_frequencies_pass(weights: np.ndarray, passes: str) -> None:
    """Compare the kind of a filter with its response, summed directly on another grid of frequencies."""
    frequencies = np.linspace(-math.pi, math.pi, 81)
    rows, columns = (np.exp(-1j * np.outer(frequencies, np.arange(side))) for side in weights.shape)
    response, at_zero = np.abs(rows @ weights @ columns.T), abs(weights.sum())
    limits = {
        "nothing": (0, 0), "all-pass": (at_zero, at_zero), "low-pass": (0, at_zero), "band-stop": (0, at_zero),
        "high-boost": (at_zero, math.inf), "high-pass": (0, math.inf), "mixed": (0, math.inf),
    }  # fmt: skip
    low, high = limits[passes]
    assert low - 1e-5 <= response.min()
    assert response.max() <= high + 1e-5
    if passes == "high-pass":
        assert at_zero < 1e-6 < response.max()
    if passes in {"low-pass", "band-stop"}:
        clearly, barely = response > 0.8 * at_zero, response > 0.62 * at_zero
        assert response.min() < at_zero - 1e-6
        if passes == "low-pass":
            assert reached_from_zero(barely)[clearly].all()
        else:
            assert not reached_from_zero(clearly)[barely].all()


@pytest.mark.parametrize("name", NAMES)
def test_named_kernels_pass_what_their_description_says(name: str) -> None:
    kernel = named_kernel(name)
    assert_frequencies_pass(np.array(kernel.matrix), kernel.description.passes)


@settings(max_examples=200)
@given(arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(-4, 4).map(float)))
@example(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))  # which a checkerboard passes
@example(np.ones((2, 2)))
def test_passes_follow_from_the_frequency_response(weights: np.ndarray) -> None:
    assert_frequencies_pass(weights, Kernel("any", tuple(map(tuple, weights.tolist()))).description.passes)


def test_directions_between_the_axes_are_given_in_degrees() -> None:
    assert Kernel("tilted", ((-1.0, 0.0, 0.5), (-2.0, 0.0, 2.0), (-0.5, 0.0, 1.0))).description.direction.startswith(
        "98-degree edges; brighter 8 degrees below the right"
    )
    assert Kernel("leaning", ((1.0, 2.0), (3.0, 4.0))).description.direction == "heavier 63 degrees below the right"
    assert named_kernel("emboss").description.direction == "heavier to the lower right"
    assert Kernel("zero", ((0.0,),)).description.direction == "none: all weights are 0"


@pytest.mark.parametrize("name", NAMES)
def test_json_has_the_weights_and_their_separation(name: str) -> None:
    fields = json.loads(json.dumps(to_json(named_kernel(name))))
    assert np.shape(fields["matrix"]) == tuple(fields["size"])
    if fields["separable"]:
        np.testing.assert_allclose(np.outer(fields["column"], fields["row"]), fields["matrix"], atol=1e-9)
