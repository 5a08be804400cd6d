"""The named kernels against the numbers of the course, NumPy and SciPy."""

import numpy as np
import pytest
from scipy import ndimage

from dlnotes_cli.filter.kernels.catalog import NAMES, WITH_SIGMA, WITH_SIZE, named_kernel
from dlnotes_cli.filter.kernels.kernel import weight_sum
from dlnotes_cli.shell.errors import InputError

ZERO_SUM = {
    "gradient", "high-pass", "laplacian-4", "laplacian-8", "log", "notes-4x4-1", "notes-4x4-2", "notes-4x4-3",
    "notes-4x4-4", "notes-5x5-x", "notes-5x5-y", "prewitt", "prewitt-x", "prewitt-y", "quiz-a", "quiz-b", "quiz-c",
    "quiz-d", "roberts", "roberts-x", "roberts-y", "scharr", "scharr-x", "scharr-y", "sobel", "sobel-x", "sobel-y",
}  # fmt: skip
COURSE: dict[str, list[list[float]]] = {
    "high-pass": [[0, -1, 0], [-1, 4, -1], [0, -1, 0]],
    "quiz-a": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
    "quiz-b": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "quiz-c": [[0, -1, 0], [-2, 6, -2], [0, -1, 0]],
    "quiz-d": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "notes-4x4-1": [[-1, -1, 1, 1]] * 4,
    "notes-4x4-2": [[1, 1, -1, -1]] * 4,
    "notes-4x4-3": [[-1] * 4, [-1] * 4, [1] * 4, [1] * 4],
    "notes-4x4-4": [[1] * 4, [1] * 4, [-1] * 4, [-1] * 4],
    "notes-5x5-x": [
        [-1, -0.2, 0, 0.2, 1], [-1.5, -0.2, 0, 0.2, 1.5], [-2, -0.2, 0, 0.2, 2], [-1.5, -0.2, 0, 0.2, 1.5],
        [-1, -0.2, 0, 0.2, 1],
    ],
    "notes-5x5-y": [[-1, -2, -2, -2, -1], [-0.2] * 5, [0] * 5, [0.2] * 5, [1, 2, 2, 2, 1]],
}  # fmt: skip


@pytest.mark.parametrize("name", COURSE)
def test_kernels_of_the_course(name: str) -> None:
    assert named_kernel(name).matrix == tuple(map(tuple, COURSE[name]))


@pytest.mark.parametrize("name", NAMES)
def test_weights_sum_to_one_or_zero(name: str) -> None:
    assert weight_sum(named_kernel(name).matrix) == pytest.approx(0 if name in ZERO_SUM else 1, abs=1e-12)
    assert named_kernel(name).purpose


@pytest.mark.parametrize(("sigma", "size"), [(1.0, 7), (2.5, 17), (0.7, 7)])
def test_gaussian_equals_scipy(sigma: float, size: int) -> None:
    impulse = np.zeros((size, size))
    impulse[size // 2, size // 2] = 1
    expected = ndimage.gaussian_filter(impulse, sigma, truncate=(size // 2) / sigma, mode="constant")
    kernel = named_kernel("gaussian", sigma=sigma)
    np.testing.assert_allclose(kernel.matrix, expected, atol=1e-12)
    sharpened = 2 * impulse - expected
    np.testing.assert_allclose(named_kernel("unsharp", sigma=sigma).matrix, sharpened, atol=1e-12)


def test_log_equals_scipy() -> None:
    impulse = np.zeros((41, 41))
    impulse[20, 20] = 1
    expected = ndimage.gaussian_laplace(impulse, 3.0, truncate=6.6)
    np.testing.assert_allclose(named_kernel("log", size=41, sigma=3.0).matrix, expected, atol=1e-6)


@pytest.mark.parametrize("name", sorted(WITH_SIZE))
@pytest.mark.parametrize("size", [1, 2, 4, 9])
def test_size_sets_rows_and_columns(name: str, size: int) -> None:
    kernel = named_kernel(name, size=size)
    assert kernel.size == (1 if name == "motion" else size, size)


def test_sigma_defaults_to_a_value_for_the_size() -> None:
    assert named_kernel("gaussian", size=5).matrix == named_kernel("gaussian", size=5, sigma=1.1).matrix
    assert WITH_SIGMA < WITH_SIZE


def test_too_large_and_unknown_kernels_are_refused() -> None:
    with pytest.raises(InputError, match=r"--sigma: 500 needs 3,001 rows; use a smaller one"):
        named_kernel("gaussian", sigma=500)
    with pytest.raises(InputError, match=r"unknown kernel 'sobelx'; did you mean 'sobel-x'\?"):
        named_kernel("sobelx")
