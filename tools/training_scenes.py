"""Scenes for the training of the embedded network: dead leaves, mosaics of small images, and crops of images.

Dead leaves are shapes that cover each other, with a power law of sizes, which gives images the edges and the 1/f
spectrum of natural images (Lee, Mumford and Huang 2001; Baradad et al. 2021, arXiv:2106.05963).
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]  # (H, W, 3), or (N, H, W, 3) for several images
Values = npt.NDArray[np.float32]  # the same in 0..1
Mask = npt.NDArray[np.float32]  # (H, W), how much of each pixel is covered

SIDE = 256  # of a scene, in pixels
_LEAVES = (20, 300)  # fewest and most of a scene
_RADII = (3.0, 110.0)  # in pixels
_SMALLEST_TEXTURED = 9.0  # radius of a leaf, in pixels; smaller ones have one color
_FLAT = 0.3  # fraction of the larger leaves that have one color
_SORTED = 0.5  # fraction of the scenes in which smaller leaves cover larger ones
_TEXTURES = 96  # noise images that scenes share
_SPECTRA = (0.6, 2.2)  # exponents of noise amplitudes: 1 is that of natural images
_CONTRASTS = (0.12, 0.06, 0.04)  # standard deviations of the noise in three directions of the color space
_TILES = (2, 3, 4)  # of a mosaic, on a side
_SMALLEST_CROP = 200  # of an image, in pixels


class Sources(NamedTuple):
    """What scenes are made of."""

    images: Sequence[Pixels]  # each (H, W, 3)
    small_images: Pixels  # (N, h, w, 3)
    textures: Pixels  # (T, SIDE, SIDE, 3)


def read_images(folder: Path) -> list[Pixels]:
    """The JPEG and PNG images of a folder in the order of their names, without transparency.

    Raises SystemExit if there are none.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not paths:
        raise SystemExit(f"{folder} has no .jpg or .png images")
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def make_sources(images: Sequence[Pixels], small_images: Pixels, generator: np.random.Generator) -> Sources:
    """The sources with newly generated noise textures."""
    return Sources(images, small_images, np.stack([_noise(generator) for _ in range(_TEXTURES)]))


def make_scenes(sources: Sources, count: int, generator: np.random.Generator) -> Pixels:
    """Scenes (N, SIDE, SIDE, 3): dead leaves, crops of images, and half as many mosaics as of either."""
    kinds = [_dead_leaves, _image_crop, _mosaic, _dead_leaves, _image_crop]
    return np.stack([kinds[i % len(kinds)](sources, generator) for i in range(count)])


def _image_crop(sources: Sources, generator: np.random.Generator) -> Pixels:
    """A square crop of an image, at a random scale."""
    pixels = _any_image(sources, generator)
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    side = round(float(np.exp(generator.uniform(np.log(min(_SMALLEST_CROP, shorter)), np.log(shorter)))))
    top, left = generator.integers(height - side + 1), generator.integers(width - side + 1)
    crop = Image.fromarray(pixels[top : top + side, left : left + side])
    return np.asarray(crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def _any_image(sources: Sources, generator: np.random.Generator) -> Pixels:
    """One of the images, the more often the longer its sides are."""
    weights = np.sqrt([pixels.size for pixels in sources.images])
    return sources.images[generator.choice(len(weights), p=weights / weights.sum())]


def _mosaic(sources: Sources, generator: np.random.Generator) -> Pixels:
    """Enlarged small images, side by side."""
    tiles = int(generator.choice(_TILES))
    edges = np.linspace(0, SIDE, tiles + 1).round().astype(int)
    scene = np.empty((SIDE, SIDE, 3), np.uint8)
    for top, bottom in pairwise(edges):
        for left, right in pairwise(edges):
            tile = _enlarged(sources.small_images, max(bottom - top, right - left), generator)
            scene[top:bottom, left:right] = tile[: bottom - top, : right - left]
    return scene


def _dead_leaves(sources: Sources, generator: np.random.Generator) -> Pixels:
    """Shapes that cover each other on a textured ground."""
    scene = _fill(sources, SIDE, generator)
    count = round(float(np.exp(generator.uniform(*np.log(_LEAVES)))))
    is_sorted = generator.random() < _SORTED
    radii = _radii(count, generator)
    for radius in np.sort(radii)[::-1] if is_sorted else radii:
        _add_leaf(scene, float(radius), sources, generator)
    return _to_pixels(scene)


def _radii(count: int, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Radii whose density is proportional to radius^-2; with -3, leaves of a few pixels would cover most others."""
    smallest, largest = _RADII
    radii: npt.NDArray[np.float64] = 1 / generator.uniform(1 / largest, 1 / smallest, count)
    return radii


def _add_leaf(scene: Values, radius: float, sources: Sources, generator: np.random.Generator) -> None:
    """Draw one leaf over the scene, in place."""
    mask = _leaf_mask(radius, generator)
    side = len(mask)
    top, left = generator.integers(-side // 2, SIDE - side // 2, 2)
    rows, columns = (slice(max(start, 0), min(start + side, SIDE)) for start in (top, left))
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    if radius < _SMALLEST_TEXTURED or generator.random() < _FLAT:
        fill: Values = _color(sources, generator)
    else:
        fill = _fill(sources, side, generator)[inside]
    covered = mask[inside][..., None]
    scene[rows, columns] += covered * (fill - scene[rows, columns])


def _leaf_mask(radius: float, generator: np.random.Generator) -> Mask:
    """A rotated ellipse or rectangle with smooth edges; its side is odd and at most SIDE + 1."""
    half = min(int(np.ceil(radius)) + 1, SIDE // 2)
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    angle, aspect = generator.uniform(0, np.pi), generator.uniform(0.15, 1.0)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = (y * np.cos(angle) - x * np.sin(angle)) / aspect
    if generator.random() < 0.5:  # noqa: PLR2004  # half of the leaves
        distance = np.hypot(along, across) - radius
    else:
        distance = np.maximum(np.abs(along), np.abs(across)) - 0.7 * radius
    mask: Mask = np.clip(0.5 - distance, 0, 1).astype(np.float32)
    return mask


def _fill(sources: Sources, side: int, generator: np.random.Generator) -> Values:
    """A texture (side, side, 3): noise, a crop of an image, or an enlarged small image; side at most SIDE + 1."""
    kind = generator.random()
    if kind < 0.4:  # noqa: PLR2004  # the shares of the three
        pixels = _crop(sources.textures[generator.integers(len(sources.textures))], side, generator)
    elif kind < 0.7:  # noqa: PLR2004
        pixels = _crop(_any_image(sources, generator), side, generator)
    else:
        pixels = _enlarged(sources.small_images, side, generator)
    filled: Values = np.asarray(pixels.astype(np.float32) / 255, np.float32)
    return filled


def _color(sources: Sources, generator: np.random.Generator) -> Values:
    """The color (3,) of a random pixel of the small images."""
    n, row, column = (generator.integers(length) for length in sources.small_images.shape[:3])
    color: Values = sources.small_images[n, row, column].astype(np.float32) / 255
    return color


def _crop(pixels: Pixels, side: int, generator: np.random.Generator) -> Pixels:
    """A random square; images that are too small are enlarged."""
    height, width = pixels.shape[:2]
    if min(height, width) < side:
        scale = side / min(height, width)
        size = (int(np.ceil(width * scale)), int(np.ceil(height * scale)))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        height, width = pixels.shape[:2]
    top, left = generator.integers(height - side + 1), generator.integers(width - side + 1)
    return pixels[top : top + side, left : left + side]


def _enlarged(small_images: Pixels, side: int, generator: np.random.Generator) -> Pixels:
    """One of the small images, at another size."""
    image = Image.fromarray(small_images[generator.integers(len(small_images))])
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


def _noise(generator: np.random.Generator) -> Pixels:
    """Noise (SIDE, SIDE, 3) whose amplitudes fall with frequency, in correlated colors; some of it has a direction."""
    y, x = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij")
    angle, stretch = generator.uniform(0, np.pi), np.exp(generator.uniform(0, 2))
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    frequency = np.hypot(along, across * stretch)
    frequency[0, 0] = 1
    amplitude = frequency ** -generator.uniform(*_SPECTRA)
    amplitude[0, 0] = 0
    spectrum = generator.normal(size=(3, *amplitude.shape, 2)) @ (1, 1j) * amplitude
    noise = np.fft.irfft2(spectrum, (SIDE, SIDE))
    noise /= noise.std()
    mixture = np.diag(_CONTRASTS) @ generator.normal(size=(3, 3))
    mixture[0] += generator.normal() * _CONTRASTS[0]  # the strongest component is nearly gray
    colors = np.tensordot(noise, mixture * generator.uniform(0.3, 1.0), (0, 0))
    return _to_pixels(colors + generator.uniform(0.2, 0.8, 3))


def _to_pixels(values: npt.NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(values * 255, 0, 255).round(), np.uint8)
