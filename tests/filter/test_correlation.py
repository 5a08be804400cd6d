"""Correlation against a float64 loop and against SciPy, for kernel sizes, border modes, types and channels."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage, signal

from dlnotes_cli.filter import correlation
from dlnotes_cli.filter.correlation import Border
from dlnotes_cli.shell.errors import InputError

SCIPY_MODES: dict[Border, str] = {"extend": "nearest", "pad": "constant", "reflect": "mirror", "wrap": "wrap"}
BORDERS: tuple[Border, ...] = (*SCIPY_MODES, "crop")


@st.composite
def kernels(draw: st.DrawFn) -> NDArray[np.float64]:
    """Kernels from 1x1 to 15x15: with real or whole weights, separable, sparse."""
    height, width = draw(st.integers(1, 15)), draw(st.integers(1, 15))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = rng.normal(size=(height, width)) * draw(st.sampled_from([0.01, 0.3, 3.0]))
    kind = draw(st.sampled_from(["real", "whole", "separable", "whole separable", "sparse"]))
    if "whole" in kind:
        weights = np.rint(weights)
    if "separable" in kind:
        weights = np.outer(weights[:, 0], weights[0])
    if kind == "sparse":
        weights[rng.random(weights.shape) < 0.8] = 0
    return weights


@st.composite
def images(draw: st.DrawFn) -> NDArray[np.uint8]:
    """Images from 1x1 to 24x24, gray or color."""
    size = (draw(st.integers(1, 24)), draw(st.integers(1, 24)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.integers(0, 256, (*size, 3) if draw(st.booleans()) else size, dtype=np.uint8)


def correlate(
    image: NDArray[Any], weights: NDArray[np.float64], border: Border = "extend", **more: Any
) -> NDArray[Any]:
    """The response to an image (H, W) or (H, W, C)."""
    with_channels = image.reshape(*image.shape[:2], -1)
    response = correlation.correlate(with_channels, tuple(map(tuple, weights.tolist())), border, **more)
    return response.reshape(*response.shape[:2], *image.shape[2:])


def border_index(position: int, size: int, border: Border) -> int | None:
    """The pixel that a position outside the image reads, or None for a zero."""
    if border == "extend":
        return min(max(position, 0), size - 1)
    if border == "wrap":
        return position % size
    while border == "reflect" and size > 1 and not 0 <= position < size:
        position = -position if position < 0 else 2 * (size - 1) - position
    if border == "reflect" and size == 1:
        return 0
    return position if 0 <= position < size else None


def loop(image: NDArray[Any], kernel: NDArray[np.float64], border: Border, *, convolve: bool) -> NDArray[np.float64]:
    """The sum of a gray image in a float64 loop; with `crop` the border is removed at the end."""
    (height, width), (rows, columns) = image.shape, kernel.shape
    response = np.zeros((height, width))
    for y, x, i, j in product(range(height), range(width), range(rows), range(columns)):
        down, across = (rows // 2 - i, columns // 2 - j) if convolve else (i - rows // 2, j - columns // 2)
        source = border_index(y + down, height, border), border_index(x + across, width, border)
        if source[0] is not None and source[1] is not None:
            response[y, x] += float(kernel[i, j]) * float(image[source[0], source[1]])
    if border != "crop":
        return response
    top, left = ((rows - 1) // 2, (columns - 1) // 2) if convolve else (rows // 2, columns // 2)
    return response[top : top + height - rows + 1, left : left + width - columns + 1]


@pytest.mark.parametrize("convolve", [False, True])
@pytest.mark.parametrize("border", BORDERS)
@given(image=images(), kernel=kernels())
def test_correlation_equals_scipy(
    border: Border, convolve: bool, image: NDArray[np.uint8], kernel: NDArray[np.float64]
) -> None:
    planes = np.atleast_3d(image).astype(np.float64).transpose(2, 0, 1)
    if border == "crop":
        if any(side > limit for side, limit in zip(kernel.shape, image.shape, strict=False)):
            with pytest.raises(InputError, match="--edges: crop leaves no pixel of"):
                correlate(image, kernel, border, convolve=convolve)
            return
        weights = kernel if convolve else kernel[::-1, ::-1]
        expected = [signal.convolve2d(plane, weights, mode="valid") for plane in planes]
    else:
        function = ndimage.convolve if convolve else ndimage.correlate
        expected = [function(plane, kernel, mode=SCIPY_MODES[border]) for plane in planes]
    response = correlate(image, kernel, border, convolve=convolve, threads=2)
    assert response.ndim == image.ndim
    np.testing.assert_allclose(np.atleast_3d(response), np.stack(expected, axis=2), rtol=0, atol=1e-3)


@pytest.mark.parametrize("convolve", [False, True])
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (4, 3), (1, 6), (5, 5)])
def test_correlation_equals_a_loop(size: tuple[int, int], border: Border, convolve: bool) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (7, 6), dtype=np.uint8)
    kernel = rng.normal(size=size)
    response = correlate(image, kernel, border, convolve=convolve)
    np.testing.assert_allclose(response, loop(image, kernel, border, convolve=convolve), rtol=0, atol=1e-3)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(700, 900), (5, 9000), (3000, 4, 3)])
def test_strips_join_without_a_seam(shape: tuple[int, ...], threads: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    for size in ((4, 3), (9, 9)):
        kernel = rng.normal(size=size) / 20
        response = correlate(image, kernel, "reflect", threads=threads)
        weights = kernel if image.ndim == 2 else kernel[:, :, None]
        expected = ndimage.correlate(image.astype(np.float64), weights, mode="mirror")
        np.testing.assert_allclose(response, expected, rtol=0, atol=1e-3)


def test_whole_weights_are_exact_on_8_and_16_bits() -> None:
    rng = np.random.default_rng(0)
    kernel = np.array([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]])
    for dtype in (np.uint8, np.uint16):
        image = rng.integers(0, np.iinfo(dtype).max + 1, (40, 50), dtype=dtype)
        response = correlate(image, kernel)
        expected = ndimage.correlate(image.astype(np.int64), kernel.astype(np.int64), mode="nearest")
        assert np.array_equal(response, expected)
