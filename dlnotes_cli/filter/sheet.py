"""The sheet of `filter`: original, kernels and result side by side, optionally with their spectra."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.filter.correlation import compute
from dlnotes_cli.filter.filter_plot import FilterRow, draw_filters
from dlnotes_cli.filter.filtered_image import FilteredImage, KernelChain
from dlnotes_cli.filter.intensity import ValueRange
from dlnotes_cli.filter.kernels.kernel import weight_sum

_CHANNELS = ("red", "green", "blue")
_MAX_SIDE = 640  # pixels of an image on the sheet
_STRETCHED = 0.99  # fraction of a signed response that is not clipped on the sheet
_SPECTRUM_SIDE = 512  # pixels of the central square whose spectrum is shown
_MIN_MAGNITUDE = 1e-3  # smaller magnitudes of a spectrum are black in any case


def draw_filtered_images(images: Sequence[FilteredImage], *, spectrum: bool) -> bytes:
    """A PNG with a row for each chain of kernels; of raw values with a row for each channel, too."""
    if images[0].config.result == "raw":
        return draw_filters([row for image in images for row in _raw_rows(image, spectrum=spectrum)])
    return draw_filters([_row(image, spectrum=spectrum) for image in images])


def _raw_rows(image: FilteredImage, *, spectrum: bool) -> Iterator[FilterRow]:
    """A row for each channel, with values in units of a white of 255."""
    values = compute(image.response, image.threads) * (255 / image.source.white)
    channels = ("",) if values.shape[2] == 1 else tuple(f", {name}" for name in _CHANNELS)
    for i, channel in enumerate(channels):
        yield FilterRow(
            original=_thumbnail(_eight_bit(image.source.values)),
            kernels=_titled_matrices(image.chain),
            result=_reduced(Image.fromarray(values[..., i].astype(np.float32)))[None],
            name=f"{image.chain.name}{channel}, raw",
            note=", ".join(filter(None, (_size(image), _range_text(values[..., i])))),
            spectra=_spectra(image) if spectrum else (),
        )


def _row(image: FilteredImage, *, spectrum: bool) -> FilterRow:
    result = np.empty(image.response.shape, np.uint8)
    limit = _signed_limit(image)
    image.write_to(result, None if limit is None else ValueRange(-limit, limit))
    return FilterRow(
        original=_thumbnail(_eight_bit(image.source.values)),
        kernels=_titled_matrices(image.chain),
        result=_thumbnail(result),
        name=f"{image.chain.name}, {image.config.result or 'clip'}",
        note=_size(image) if limit is None else _stretching(limit * 255 / image.source.white),
        spectra=_spectra(image) if spectrum else (),
    )


def _stretching(limit: float) -> str:
    return f"stretched: gray 0, black and white ±{limit:.3g}"


def _range_text(values: NDArray[Any]) -> str:
    return f"from {values.min():.4g} to {values.max():.4g}"


def _size(image: FilteredImage) -> str:
    """Width and height of a result that is smaller than the image; else an empty text."""
    height, width, _ = image.response.shape
    return f"{width}x{height}" if (height, width) != image.source.values.shape[:2] else ""


def _signed_limit(image: FilteredImage) -> float | None:
    """The magnitude that is black or white with `--result signed`; None for other results.

    A few large values would leave nearly everything else gray.
    """
    if image.config.result != "signed" or image.config.threshold is not None:
        return None
    return image.magnitude_quantile(_STRETCHED)


def _titled_matrices(chain: KernelChain) -> list[tuple[str, NDArray[np.float64], float]]:
    """Title, weights and sum of every matrix of a chain."""
    return [
        (
            kernel.name if kernel.second_matrix is None else f"{kernel.name}, matrix {i}",
            np.array(matrix, np.float64),
            weight_sum(matrix),
        )
        for kernel in chain.kernels
        for i, matrix in enumerate(kernel.matrices, 1)
    ]


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, C) reduced to the size on the sheet, (C, H, W)."""
    reduced = _reduced(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    return reduced.reshape(*reduced.shape[:2], -1).transpose(2, 0, 1)


def _reduced(image: Image.Image) -> NDArray[Any]:
    return np.asarray(image.reduce(-(-max(image.size) // _MAX_SIDE)))


def _eight_bit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    return (pixels // 257).astype(np.uint8) if pixels.itemsize > 1 else pixels


def _spectra(image: FilteredImage) -> list[NDArray[Any]]:
    """The spectra of the centers of the original and of the response, in decibels."""
    original, response = image.source.values, image.response
    side = min(_SPECTRUM_SIDE, *original.shape[:2], *response.shape[:2])
    top = (response.shape[0] - side) // 2
    return [_decibels(_center(original, side)), _decibels(_center(response.rows(top, top + side), side))]


def _center(values: NDArray[Any], side: int) -> NDArray[np.float64]:
    """The central square, averaged over the channels."""
    top, left = ((length - side) // 2 for length in values.shape[:2])
    center = values[top : top + side, left : left + side]
    return np.asarray(center.mean(axis=2, dtype=np.float64))


def _decibels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """20 log10 |F| with frequency 0 in the center; a Hann window suppresses the edges of the square."""
    window = np.hanning(len(values) + 2)[1:-1]
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(values * window[:, None] * window)))
    return 20 * np.log10(np.maximum(magnitude, _MIN_MAGNITUDE))
