"""Correlation against a loop in 64 bits and against SciPy, over sizes, edges, types and channels."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage, signal

from dlnotes_cli.filter.correlate import Correlation, Magnitude, collected, correlate
from dlnotes_cli.filter.edges import Edges, sources
from dlnotes_cli.shell.errors import InputError

SCIPY: dict[Edges, str] = {"extend": "nearest", "pad": "constant", "reflect": "mirror", "wrap": "wrap"}
EDGES: tuple[Edges, ...] = (*SCIPY, "crop")
Matrix = tuple[tuple[float, ...], ...]


@st.composite
def kernels(draw: st.DrawFn) -> NDArray[np.float64]:
    """From 1x1 to 15x15: whole, real, products, and with many zeros."""
    height, width = draw(st.integers(1, 15)), draw(st.integers(1, 15))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = rng.normal(size=(height, width)) * draw(st.sampled_from([0.01, 0.3, 3.0]))
    kind = draw(st.sampled_from(["real", "whole", "product", "whole product", "sparse"]))
    if "whole" in kind:
        weights = np.rint(weights)
    if "product" in kind:
        weights = np.outer(weights[:, 0], weights[0])
    if kind == "sparse":
        weights[rng.random(weights.shape) < 0.8] = 0
    return weights


@st.composite
def images(draw: st.DrawFn) -> NDArray[np.uint8]:
    """From 1x1 to 24x24, gray or color."""
    size = (draw(st.integers(1, 24)), draw(st.integers(1, 24)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.integers(0, 256, (*size, 3) if draw(st.booleans()) else size, dtype=np.uint8)


def rows_of(weights: NDArray[np.float64]) -> Matrix:
    return tuple(map(tuple, weights.tolist()))


def looked_up(position: int, size: int, edges: Edges) -> int | None:
    """Where a position beyond the edge is found, None where zero stands."""
    if edges == "extend":
        return min(max(position, 0), size - 1)
    if edges == "wrap":
        return position % size
    while edges == "reflect" and size > 1 and not 0 <= position < size:
        position = -position if position < 0 else 2 * (size - 1) - position
    if edges == "reflect" and size == 1:
        return 0
    return position if 0 <= position < size else None


def loop(image: NDArray[Any], kernel: NDArray[np.float64], edges: Edges, *, convolve: bool) -> NDArray[np.float64]:
    """The sum written out in 64 bits for a gray image; what edges that are cropped leave is cut out at the end."""
    (height, width), (rows, columns) = image.shape, kernel.shape
    found = np.zeros((height, width))
    for y, x, i, j in product(range(height), range(width), range(rows), range(columns)):
        down, across = (rows // 2 - i, columns // 2 - j) if convolve else (i - rows // 2, j - columns // 2)
        source = looked_up(y + down, height, edges), looked_up(x + across, width, edges)
        if source[0] is not None and source[1] is not None:
            found[y, x] += float(kernel[i, j]) * float(image[source[0], source[1]])
    if edges != "crop":
        return found
    top, left = ((rows - 1) // 2, (columns - 1) // 2) if convolve else (rows // 2, columns // 2)
    return found[top : top + height - rows + 1, left : left + width - columns + 1]


@pytest.mark.parametrize("convolve", [False, True])
@pytest.mark.parametrize("edges", EDGES)
@given(image=images(), kernel=kernels())
def test_correlation_is_scipy_s(
    edges: Edges, convolve: bool, image: NDArray[np.uint8], kernel: NDArray[np.float64]
) -> None:
    layers = np.atleast_3d(image).astype(np.float64)
    if edges == "crop":
        if any(side > room for side, room in zip(kernel.shape, image.shape, strict=False)):
            with pytest.raises(InputError, match="--edges: crop leaves nothing of"):
                correlate(image, rows_of(kernel), edges=edges, convolve=convolve)
            return
        weights = kernel if convolve else kernel[::-1, ::-1]
        expected = [signal.convolve2d(layer, weights, mode="valid") for layer in layers.transpose(2, 0, 1)]
    else:
        function = ndimage.convolve if convolve else ndimage.correlate
        expected = [function(layer, kernel, mode=SCIPY[edges]) for layer in layers.transpose(2, 0, 1)]
    found = correlate(image, rows_of(kernel), edges=edges, convolve=convolve, threads=2)
    assert found.ndim == image.ndim
    np.testing.assert_allclose(np.atleast_3d(found), np.stack(expected, axis=2), rtol=0, atol=1e-3)


@pytest.mark.parametrize("convolve", [False, True])
@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (4, 3), (1, 6), (5, 5)])
def test_correlation_is_the_sum_written_out(size: tuple[int, int], edges: Edges, convolve: bool) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (7, 6), dtype=np.uint8)
    kernel = rng.normal(size=size)
    found = correlate(image, rows_of(kernel), edges=edges, convolve=convolve)
    np.testing.assert_allclose(found, loop(image, kernel, edges, convolve=convolve), rtol=0, atol=1e-3)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(700, 900), (5, 9000), (3000, 4, 3)])
def test_strips_meet_without_a_seam(shape: tuple[int, ...], threads: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    for size in ((4, 3), (9, 9)):
        kernel = rng.normal(size=size) / 20
        found = correlate(image, rows_of(kernel), edges="reflect", threads=threads)
        weights = kernel if image.ndim == 2 else kernel[:, :, None]
        expected = ndimage.correlate(image.astype(np.float64), weights, mode="mirror")
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def test_whole_kernels_are_exact_on_8_and_16_bits() -> None:
    rng = np.random.default_rng(0)
    kernel = np.array([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]])
    for dtype in (np.uint8, np.uint16):
        image = rng.integers(0, np.iinfo(dtype).max + 1, (40, 50), dtype=dtype)
        found = correlate(image, rows_of(kernel), white=np.iinfo(dtype).max)
        expected = ndimage.correlate(image.astype(np.int64), kernel.astype(np.int64), mode="nearest")
        assert np.array_equal(found, expected)


def test_numbers_larger_than_16_bits_are_not_cut() -> None:
    image = np.full((4, 4), 255, np.uint8)
    kernel = np.full((15, 15), 100.0)
    np.testing.assert_array_equal(correlate(image, rows_of(kernel)), 225 * 255 * 100)


def test_magnitude() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 1), dtype=np.uint8)
    across = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
    down = tuple(zip(*across, strict=True))
    found = collected(Magnitude([Correlation(image, across), Correlation(image, down)]), threads=2)
    parts = [ndimage.correlate(image[..., 0].astype(float), np.array(k), mode="nearest") for k in (across, down)]
    np.testing.assert_allclose(found[..., 0], np.hypot(*parts), atol=1e-3)


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ("extend", [0, 0, 0, 0, 1, 2, 2, 2]),
        ("pad", [-1, -1, -1, 0, 1, 2, -1, -1]),
        ("reflect", [1, 2, 1, 0, 1, 2, 1, 0]),
        ("wrap", [0, 1, 2, 0, 1, 2, 0, 1]),
    ],
)
def test_what_lies_beyond_the_edge(edges: Edges, expected: list[int]) -> None:
    assert sources(-3, 5, 3, edges).tolist() == expected
    assert set(sources(-4, 4, 1, edges)) <= {0, -1}


@pytest.mark.parametrize("size", [3, 11])
@given(seed=st.integers(0, 2**32), cut=st.integers(1, 599))
def test_any_number_of_rows_may_be_asked_for(size: int, seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (600, 4, 1), dtype=np.uint8)
    kernel = rng.normal(size=(size, size))
    filtered = Correlation(image, rows_of(kernel))
    found = np.concatenate([filtered.rows(0, cut), filtered.rows(cut, 600)])
    expected = ndimage.correlate(image[..., 0].astype(float), kernel, mode="nearest")
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-3)
    np.testing.assert_allclose(filtered.rows(0, 600)[..., 0], expected, atol=1e-3)
