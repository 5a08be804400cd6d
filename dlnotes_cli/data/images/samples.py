"""The images that are always there: photographs of scikit-learn's package, and a drawing that is made here."""

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.shell.errors import InputError

_PHOTOGRAPHS = Path("datasets", "images")
_PALETTE = np.array(  # deep blue, teal, cream, orange, red, plum
    [(18, 32, 92), (30, 120, 140), (244, 232, 190), (240, 150, 40), (200, 50, 40), (80, 30, 90)], np.float64
)
_STRIPES = 2.5  # rounds of the palette from left to right
_REACH = 0.22  # of a swirl
_SWIRLS = ((0.30, 0.32, 5.0), (0.70, 0.62, -6.0), (0.20, 0.82, 4.0), (0.85, 0.18, 5.0))  # x, y and radians


def sample_photo(name: str, option: str) -> Path:
    """The file of scikit-learn's china.jpg or flower.jpg. Raises InputError naming `option` where it is not here."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        what = "no image given, and scikit-learn, which has one, is not installed"
        raise InputError(option, what, "name an image")
    return Path(package.origin).parent / _PHOTOGRAPHS / name


def drawing(height: int, width: int) -> NDArray[np.uint8]:
    """Swirling stripes (H, W, 3), a style of its own."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    for center_x, center_y, turn in _SWIRLS:  # turn the plane about each center, less the farther away
        right, down = x - center_x, y - center_y
        angle = turn * np.exp(-((right**2 + down**2) / _REACH**2))
        x = center_x + right * np.cos(angle) - down * np.sin(angle)
        y = center_y + right * np.sin(angle) + down * np.cos(angle)
    phase = _STRIPES * (x + 0.6 * y)
    place = phase % 1.0 * len(_PALETTE)
    low = np.floor(place).astype(int) % len(_PALETTE)
    share = np.clip((place - np.floor(place)) * 4 - 3, 0, 1)[..., None]  # flat stripes with soft edges
    colors = _PALETTE[low] * (1 - share) + _PALETTE[(low + 1) % len(_PALETTE)] * share
    strokes = 10 * np.sin(220 * y + 30 * np.sin(6 * x))[..., None]
    return np.asarray(np.clip(np.rint(colors + strokes), 0, 255), np.uint8)
