"""Separation of kernels against the rank from NumPy, and the small matrix functions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dlnotes_cli.filter.kernels.kernel import Kernel, format_matrix, negate, separate, transpose, weight_sum

WHOLE_NUMBERS = st.integers(-5, 5).map(float)


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=WHOLE_NUMBERS))
def test_a_kernel_is_separable_if_its_rank_is_one(weights: np.ndarray) -> None:
    factors = separate(tuple(map(tuple, weights.tolist())))
    assert (factors is not None) == (np.linalg.matrix_rank(weights) == 1)
    if factors is not None:
        np.testing.assert_allclose(np.outer(*factors), weights, atol=1e-12)


@given(
    arrays(np.float64, st.integers(1, 6), elements=WHOLE_NUMBERS),
    arrays(np.float64, st.integers(1, 6), elements=WHOLE_NUMBERS),
)
def test_factors_of_whole_weights_are_whole(column: np.ndarray, row: np.ndarray) -> None:
    factors = separate(tuple(map(tuple, np.outer(column, row).tolist())))
    if factors is not None:
        assert all(weight.is_integer() for line in factors for weight in line)


def test_transpose_and_negate() -> None:
    matrix = ((1.0, 0.0, 2.0),)
    assert transpose(matrix) == ((1.0,), (0.0,), (2.0,))
    assert negate(matrix) == ((-1.0, 0.0, -2.0),)
    assert str(negate(matrix)[0][1]) == "0.0"


def test_a_sum_that_is_only_a_rounding_error_is_zero() -> None:
    assert weight_sum(((0.1, 0.2, -0.3),)) == 0
    assert weight_sum(((1e-12,),)) == 1e-12


def test_a_kernel_with_two_matrices() -> None:
    kernel = Kernel("pair", ((1.0, 2.0),), second_matrix=((1.0,), (2.0,)))
    assert kernel.matrices == (((1.0, 2.0),), ((1.0,), (2.0,)))
    assert kernel.size == (2, 2)


def test_columns_are_right_aligned() -> None:
    assert format_matrix(((1.0, -10.0), (0.25, 0.0))) == ["   1  -10", "0.25    0"]


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
