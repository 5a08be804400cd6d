"""Where a network's input lies in its file: against markers painted into files of every orientation."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dlnotes_cli.data.images.geometry import Geometry, decode_placed
from dlnotes_cli.data.preprocessing import ImageShape

STORED = (120, 90)  # width and height
MARKER = (70, 40)  # column and row of the center of a bright square, away from the center of the image


def marked_file(path: Path, orientation: int) -> Path:
    pixels = np.zeros((STORED[1], STORED[0], 3), np.uint8)
    x, y = MARKER
    pixels[y - 5 : y + 5, x - 5 : x + 5] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("orientation", "resize", "suffix"),
    [*product(range(1, 9), ("crop", "squash", "letterbox"), (".png",)), (6, "crop", ".jpg"), (6, "crop", ".tif")],
)
def test_the_bright_square_is_found_again_in_the_stored_file(
    tmp_path: Path, orientation: int, resize: str, suffix: str
) -> None:
    path = marked_file(tmp_path / f"marked{suffix}", orientation)
    shape = ImageShape(3, 48, 64, resize, crop_pct=0.9 if resize == "crop" else 1.0)  # type: ignore[arg-type]
    pixels, geometry = decode_placed(path, shape, 10**6)
    weights = pixels.mean(axis=0) / pixels.mean(axis=0).sum()
    center = np.array(
        [[(weights.sum(0) * (np.arange(64) + 0.5)).sum(), (weights.sum(1) * (np.arange(48) + 0.5)).sum()]]
    )
    assert geometry.stored == STORED
    assert geometry.to_stored(center)[0] == pytest.approx(MARKER, abs=1.5)
    bright = np.argwhere(pixels.mean(axis=0) > 127)
    (top, left), (bottom, right) = bright.min(axis=0), bright.max(axis=0) + 1
    box = geometry.box_in_stored((left, top, right, bottom))
    assert box == pytest.approx((MARKER[0] - 5, MARKER[1] - 5, MARKER[0] + 5, MARKER[1] + 5), abs=2.5)


@settings(deadline=None)
@given(
    upright=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    size=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    resize=st.sampled_from(["crop", "squash", "letterbox"]),
    crop_pct=st.floats(0.5, 1.0),
    orientation=st.integers(1, 8),
)
def test_boxes_stay_inside_the_image(
    upright: tuple[int, int], size: tuple[int, int], resize: str, crop_pct: float, orientation: int
) -> None:
    shape = ImageShape(3, size[1], size[0], resize, crop_pct if resize == "crop" else 1.0)  # type: ignore[arg-type]
    geometry = Geometry.of_file(upright, orientation, shape)
    x0, y0, x1, y1 = geometry.box_in_stored((0, 0, *size))
    assert 0 <= x0 < x1 <= geometry.stored[0]
    assert 0 <= y0 < y1 <= geometry.stored[1]
    assert sorted(geometry.stored) == sorted(upright)
    x0, y0, x1, y1 = geometry.region
    if resize == "crop":  # as large as possible, of the shape of the input
        assert (x1 - x0) / (y1 - y0) == pytest.approx(size[0] / size[1])
        assert max((x1 - x0) / upright[0], (y1 - y0) / upright[1]) == pytest.approx(crop_pct)
    else:
        assert geometry.box_in_upright((0, 0, *size)) == pytest.approx((0, 0, *upright))
