"""A filtered image: the distribution of its response."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.typing import NDArray

from dlnotes_cli.data.images.image_io import LoadedImage
from dlnotes_cli.filter.filtered_image import KernelChain, filter_image
from dlnotes_cli.filter.kernels.kernel import Kernel
from dlnotes_cli.filter.options import FilterConfig


@given(
    stn.arrays(np.uint8, st.tuples(st.integers(3, 12), st.integers(3, 12), st.just(1))),
    st.sampled_from([0.5, 0.9, 0.99, 1.0]),
)
def test_the_quantile_of_the_magnitudes(values: NDArray[np.uint8], fraction: float) -> None:
    kernel = Kernel("edges", ((-1.0, 0.0, 2.0),))
    config = FilterConfig(kernel=("-1 0 2",))
    image = filter_image(LoadedImage(values, None, None), KernelChain((kernel,)), config, 1)
    magnitudes = np.sort(np.abs(image.response.rows(0, len(values)).astype(float)), axis=None)
    expected = magnitudes[max(int(np.ceil(fraction * magnitudes.size)) - 1, 0)]
    assert expected <= image.magnitude_quantile(fraction) <= expected + magnitudes[-1] / 1000 + 1e-9
