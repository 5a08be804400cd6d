"""Color matching, compared with NumPy's covariance and with sorted pixels."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dlnotes_cli.style.images import match_colors


def random_image(seed: int, height: int = 60, width: int = 50) -> NDArray[np.uint8]:
    """Correlated colors, far enough from 0 and 255 that few are clipped."""
    generator = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    mixed = generator.normal(size=(height, width, 3)) * generator.uniform(5, 15, 3) @ rotation
    return np.asarray(np.clip(mixed + generator.uniform(100, 150, 3), 0, 255), np.uint8)


def test_linear_matching_gives_the_mean_and_covariance_of_the_content() -> None:
    style, content = random_image(0, 150), random_image(1, 70, 40)
    matched = match_colors(style, content, "linear")
    assert matched.shape == style.shape
    assert matched.dtype == np.uint8
    expected, found = (image.reshape(-1, 3).T.astype(float) for image in (content, matched))
    np.testing.assert_allclose(found.mean(1), expected.mean(1), atol=0.2)
    np.testing.assert_allclose(np.cov(found), np.cov(expected), rtol=0.02, atol=2)


def test_linear_matching_moves_colors_least_where_both_images_have_the_same() -> None:
    image = random_image(2)  # a matrix other than the symmetric one would rotate the colors
    np.testing.assert_array_equal(match_colors(image, image, "linear"), image)


def test_histogram_matching_gives_the_sorted_values_of_the_content() -> None:
    generator = np.random.default_rng(3)
    style = np.stack([generator.permutation(256).reshape(16, 16) for _ in range(3)], -1).astype(np.uint8)
    content = random_image(4, 8, 32)
    matched = match_colors(style, content, "histogram")
    for i in range(3):
        order = style[..., i].ravel()  # all values differ: value v is the v-th smallest
        np.testing.assert_array_equal(matched[..., i].ravel(), np.sort(content[..., i].ravel())[order])


@pytest.mark.parametrize("method", ["linear", "histogram"])
def test_a_style_of_one_color_gets_one_color(method: str) -> None:
    content = random_image(5)
    matched = match_colors(np.full((9, 9, 3), 77, np.uint8), content, method)  # type: ignore[arg-type]
    middle = np.median if method == "histogram" else np.mean
    np.testing.assert_allclose(matched.reshape(-1, 3), [middle(content.reshape(-1, 3), axis=0)] * 81, atol=1)


def test_the_noise_of_a_gray_style_is_not_turned_into_color() -> None:
    gray = np.random.default_rng(6).integers(0, 255, (40, 40, 1)).repeat(3, axis=2).astype(np.uint8)
    matched = match_colors(gray, random_image(7), "linear").reshape(-1, 3).astype(float)
    variances = np.linalg.eigvalsh(np.cov(matched.T))
    assert variances[1] < 1  # of rounding and clipping
