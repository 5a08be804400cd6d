"""Where the pixels of a network's input lie in the image file that they were decoded from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.decode import SIDEWAYS, decode_stream
from dlnotes_cli.data.preprocessing import ImageShape

Region = tuple[float, float, float, float]  # x0, y0, x1, y1
Coordinates = NDArray[np.float64]  # (N, 2): x, y


@dataclass(frozen=True)
class Geometry:
    """The part of an image that a network's input shows.

    Coordinates are continuous: pixel i of a row extends from i to i + 1. An upright image is rotated by its EXIF
    orientation, as viewers show it; a stored image is as the file has it.
    """

    input: tuple[int, int]  # width and height of the network's input
    upright: tuple[int, int]  # width and height of the upright image
    region: Region  # of the upright image; with letterbox larger than it
    orientation: int = 1  # of EXIF, 1 to 8

    @classmethod
    def of_file(cls, upright: tuple[int, int], orientation: int, shape: ImageShape) -> "Geometry":
        """The geometry of `decode_image` for an upright image of this width and height."""
        return cls((shape.width, shape.height), upright, _region(upright, shape), orientation)

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height of the stored image."""
        return self.upright[::-1] if self.orientation in SIDEWAYS else self.upright

    def to_upright(self, points: Coordinates) -> Coordinates:
        """Points (N, 2) of the network's input in the upright image."""
        x0, y0, x1, y1 = self.region
        scale = np.array([(x1 - x0) / self.input[0], (y1 - y0) / self.input[1]])
        return np.asarray(points * scale + np.array([x0, y0]))

    def to_stored(self, points: Coordinates) -> Coordinates:
        """Points (N, 2) of the network's input in the stored image."""
        x, y = self.to_upright(points).T
        width, height = self.upright
        mirrored_x, mirrored_y = width - x, height - y
        turned = {  # EXIF: which corner of the upright image the first stored pixel is
            1: (x, y), 2: (mirrored_x, y), 3: (mirrored_x, mirrored_y), 4: (x, mirrored_y),
            5: (y, x), 6: (y, mirrored_x), 7: (mirrored_y, mirrored_x), 8: (mirrored_y, x),
        }  # fmt: skip
        return np.stack(turned.get(self.orientation, (x, y)), axis=1)

    def box_in_upright(self, box: Region) -> Region:
        """A box of the network's input in the upright image, clipped to it."""
        return _clipped(self.to_upright(np.reshape(box, (2, 2))), self.upright)

    def box_in_stored(self, box: Region) -> Region:
        """A box of the network's input in the stored image, clipped to it."""
        return _clipped(self.to_stored(np.reshape(box, (2, 2))), self.stored)


def decode_placed(path: Path, shape: ImageShape, max_pixels: int) -> tuple[NDArray[np.uint8], Geometry]:
    """Pixels (C, H, W) as `decode_image` returns them, and their place in the file. Raises InputError as it does."""
    pixels, header = decode_stream(path, None, shape, max_pixels)
    return pixels, Geometry.of_file((header.width, header.height), header.orientation, shape)


def _region(upright: tuple[int, int], shape: ImageShape) -> Region:
    """The part of an upright image that its resized version shows."""
    width, height = map(float, upright)
    if shape.resize == "squash":
        return 0.0, 0.0, width, height
    if shape.resize == "letterbox":
        scale = min(shape.width / width, shape.height / height)
        inner = [max(1, round(side * scale)) for side in upright]
        step_x, step_y = width / inner[0], height / inner[1]
        x0, y0 = -round((shape.width - inner[0]) / 2) * step_x, -round((shape.height - inner[1]) / 2) * step_y
        return x0, y0, x0 + shape.width * step_x, y0 + shape.height * step_y
    kept_height = shape.crop_pct * min(height, width * shape.height / shape.width)
    kept_width = kept_height * shape.width / shape.height
    left, top = (width - kept_width) / 2, (height - kept_height) / 2
    return left, top, left + kept_width, top + kept_height


def _clipped(corners: Coordinates, size: tuple[int, int]) -> Region:
    low = np.clip(corners.min(axis=0), 0, size).tolist()
    high = np.clip(corners.max(axis=0), 0, size).tolist()
    return low[0], low[1], high[0], high[1]
