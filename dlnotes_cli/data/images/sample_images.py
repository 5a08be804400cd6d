"""Sample images for use without data: two files of scikit-learn, and a generated style image."""

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.shell.errors import InputError

_SKLEARN_IMAGES = Path("datasets", "images")
_PALETTE = np.array(  # deep blue, teal, cream, orange, red, plum
    [(18, 32, 92), (30, 120, 140), (244, 232, 190), (240, 150, 40), (200, 50, 40), (80, 30, 90)], np.float64
)
_STRIPES = 2.5  # repetitions of the palette from left to right
_RADIUS = 0.22  # of a swirl, in image widths
_SWIRLS = (
    (0.30, 0.32, 5.0),
    (0.70, 0.62, -6.0),
    (0.20, 0.82, 4.0),
    (0.85, 0.18, 5.0),
)  # center x and y, angle in radians


def sample_image(name: str, option: str) -> Path:
    """Path of scikit-learn's china.jpg or flower.jpg; raises InputError naming `option` if it is not installed."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        what = "no image given, and scikit-learn, which has a sample image, is not installed"
        raise InputError(option, what, "name an image, or install scikit-learn")
    return Path(package.origin).parent / _SKLEARN_IMAGES / name


def generated_image(height: int, width: int) -> NDArray[np.uint8]:
    """An image of swirling stripes, uint8 (H, W, 3)."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    for center_x, center_y, rotation in _SWIRLS:  # rotate the plane about each center, less with distance
        right, down = x - center_x, y - center_y
        angle = rotation * np.exp(-((right**2 + down**2) / _RADIUS**2))
        x = center_x + right * np.cos(angle) - down * np.sin(angle)
        y = center_y + right * np.sin(angle) + down * np.cos(angle)
    phase = _STRIPES * (x + 0.6 * y)
    position = phase % 1.0 * len(_PALETTE)
    low = np.floor(position).astype(int) % len(_PALETTE)
    share = np.clip((position - np.floor(position)) * 4 - 3, 0, 1)[..., None]  # flat stripes with smooth edges
    colors = _PALETTE[low] * (1 - share) + _PALETTE[(low + 1) % len(_PALETTE)] * share
    strokes = 10 * np.sin(220 * y + 30 * np.sin(6 * x))[..., None]
    return np.asarray(np.clip(np.rint(colors + strokes), 0, 255), np.uint8)
