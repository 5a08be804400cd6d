"""Products of a column and a row against the rank that numpy finds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dlnotes_cli.filter.kernels.kernel import Kernel, negative, separated, text_of, total, transposed

WHOLE = st.integers(-5, 5).map(float)


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=WHOLE))
def test_separated_is_rank_one(weights: np.ndarray) -> None:
    product = separated(tuple(map(tuple, weights.tolist())))
    assert (product is not None) == (np.linalg.matrix_rank(weights) == 1)
    if product is not None:
        np.testing.assert_allclose(np.outer(*product), weights, atol=1e-12)


@given(arrays(np.float64, st.integers(1, 6), elements=WHOLE), arrays(np.float64, st.integers(1, 6), elements=WHOLE))
def test_factors_of_whole_weights_are_whole(column: np.ndarray, row: np.ndarray) -> None:
    product = separated(tuple(map(tuple, np.outer(column, row).tolist())))
    if product is not None:
        assert all(weight.is_integer() for line in product for weight in line)


def test_turning_and_signs() -> None:
    matrix = ((1.0, 0.0, 2.0),)
    assert transposed(matrix) == ((1.0,), (0.0,), (2.0,))
    assert negative(matrix) == ((-1.0, 0.0, -2.0),)
    assert str(negative(matrix)[0][1]) == "0.0"


def test_what_rounding_leaves_of_a_sum_is_zero() -> None:
    assert total(((0.1, 0.2, -0.3),)) == 0
    assert total(((1e-12,),)) == 1e-12


def test_a_pair_has_two_matrices() -> None:
    kernel = Kernel("pair", ((1.0, 2.0),), partner=((1.0,), (2.0,)))
    assert kernel.matrices == (((1.0, 2.0),), ((1.0,), (2.0,)))
    assert kernel.size == (2, 2)


def test_columns_line_up() -> None:
    assert text_of(((1.0, -10.0), (0.25, 0.0))) == ["   1  -10", "0.25    0"]
