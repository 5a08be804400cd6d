"""Give a style image the colors of the content before the transfer (Gatys et al., arXiv:1606.05897)."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

ColorMatching = Literal["linear", "histogram"]

_BLOCK_ROWS = 64  # that are float64 at a time
_MIN_VARIANCE = 1.0  # of 8-bit values; along a direction with less, as in a gray image, nothing is scaled up


def match_colors(style: NDArray[np.uint8], content: NDArray[np.uint8], method: ColorMatching) -> NDArray[np.uint8]:
    """The style image (H, W, 3) with the colors of the content image (h, w, 3).

    `linear`: with its mean and covariance, by the symmetric matrix that the paper prefers. `histogram`: with its
    distribution of values in each channel.
    """
    if method == "histogram":
        channels = [_with_histogram(style[..., i], content[..., i]) for i in range(style.shape[2])]
        return np.stack(channels, axis=-1)
    return _with_covariance(style, content)


def _with_covariance(style: NDArray[np.uint8], content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A (x - mean of the style) + mean of the content; A is the root of the content covariance over the style's."""
    style_mean, style_covariance = _moments(style)
    content_mean, content_covariance = _moments(content)
    matrix = _power(content_covariance, 0.5) @ _power(style_covariance, -0.5)
    matched = np.empty_like(style)
    for start in range(0, len(style), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        matched[block] = np.clip(np.rint((style[block] - style_mean) @ matrix.T + content_mean), 0, 255)
    return matched


def _moments(image: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (3,) and covariance (3, 3) of an image's colors."""
    mean = image.mean(axis=(0, 1), dtype=np.float64)
    products = np.zeros((len(mean), len(mean)))
    for start in range(0, len(image), _BLOCK_ROWS):
        differences = (image[start : start + _BLOCK_ROWS] - mean).reshape(-1, len(mean))
        products += differences.T @ differences
    return mean, products / (image.shape[0] * image.shape[1])


def _power(covariance: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """A power of a symmetric matrix; directions without variance stay 0."""
    variances, directions = np.linalg.eigh(covariance)
    has_variance = variances >= _MIN_VARIANCE
    scales = np.where(has_variance, np.where(has_variance, variances, 1.0) ** exponent, 0.0)
    return np.asarray((directions * scales) @ directions.T)


def _with_histogram(style: NDArray[np.uint8], content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Values (H, W) replaced by those of the content at the same quantile."""
    counts = np.bincount(style.ravel(), minlength=256)
    quantiles = (np.cumsum(counts) - counts / 2) / style.size  # in the middle of the pixels of one value
    cumulative = np.cumsum(np.bincount(content.ravel(), minlength=256)) / content.size
    table = np.searchsorted(cumulative, quantiles).clip(0, 255).astype(np.uint8)
    return np.asarray(table[style])
