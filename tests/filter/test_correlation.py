"""Correlation against SciPy, in strips of few rows: kernel sizes, border modes, types and channels."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from dlnotes_cli.filter import correlation
from dlnotes_cli.filter.correlation import Border, correlate
from dlnotes_cli.shell.errors import InputError

MODES: dict[Border, str] = {
    "extend": "nearest", "pad": "constant", "reflect": "mirror", "wrap": "wrap", "crop": "constant",
}  # fmt: skip
SIDES = st.integers(1, 15)
IMAGES = st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda dtype: arrays(dtype, st.tuples(st.integers(1, 24), st.integers(1, 24), st.sampled_from([1, 3])))
)
WEIGHTS = st.integers(-9, 9).map(float) | st.floats(-3, 3)
KERNELS = arrays(np.float64, st.tuples(SIDES, SIDES), elements=WEIGHTS) | st.builds(
    np.outer, arrays(np.float64, SIDES, elements=WEIGHTS), arrays(np.float64, SIDES, elements=WEIGHTS)
)


@pytest.fixture(scope="module", autouse=True)
def _short_strips() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correlation, "_STRIP_VALUES", 16)
        yield


@pytest.mark.parametrize("convolve", [False, True])
@pytest.mark.parametrize("border", MODES)
@given(image=IMAGES, kernel=KERNELS, threads=st.integers(1, 2))
def test_correlation_equals_scipy(
    border: Border, convolve: bool, image: NDArray[np.uint8], kernel: NDArray[np.float64], threads: int
) -> None:
    function = ndimage.convolve if convolve else ndimage.correlate
    expected = function(image.astype(np.float64), kernel[:, :, None], mode=MODES[border])
    matrix = tuple(map(tuple, kernel.tolist()))
    if border == "crop":
        (height, width, _), (rows, columns) = image.shape, kernel.shape
        if rows > height or columns > width:
            with pytest.raises(InputError, match="--edges: crop leaves no pixel of"):
                correlate(image, [matrix], border, convolve=convolve)
            return
        top, left = ((side - 1) // 2 if convolve else side // 2 for side in kernel.shape)
        expected = expected[top : top + height - rows + 1, left : left + width - columns + 1]
    response = correlate(image, [matrix], border, convolve=convolve, threads=threads)
    np.testing.assert_allclose(response, expected, rtol=0, atol=1e-5)
    if (kernel == np.rint(kernel)).all():
        assert np.array_equal(response, expected)  # sums of whole numbers are exact
