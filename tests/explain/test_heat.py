"""The highest part of a map, and heat on the image at its own size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib import colormaps
from numpy.typing import NDArray

from dlnotes_cli.data.images.decode import Geometry
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.explain.heat import brightness, largest_part, overlay, spread, top_region


@given(arrays.arrays(np.float32, (5, 7), elements=st.integers(-3, 20).map(float)))
def test_the_region_of_the_highest_values_is_found_by_sorting(values: NDArray[np.float32]) -> None:
    region, part = top_region(values), largest_part(values)
    threshold = np.quantile(values, 0.8)
    chosen = [(x, y) for y in range(5) for x in range(7) if values[y, x] >= threshold and values[y, x] > 0]
    if not chosen:
        assert (region, part) == (None, None)
        return
    assert region is not None
    assert part is not None
    xs, ys = zip(*chosen, strict=True)
    assert region.box == (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
    weight = sum(float(values[y, x]) for x, y in chosen)
    center = [sum((place[axis] + 0.5) * values[place[::-1]] for place in chosen) / weight for axis in (0, 1)]
    assert region.center_of_mass == pytest.approx(center, rel=1e-5)
    assert region.box[:2] <= part[:2]


def test_the_largest_part_is_connected_by_sides() -> None:
    values = np.zeros((6, 6), np.float32)
    values[0, :3] = values[1, 3] = values[3:5, 4:6] = 1.0  # three, one that touches them at a corner, and four
    assert largest_part(values) == (4, 3, 6, 5)


def test_heat_lies_on_the_part_that_the_network_sees() -> None:
    bright = np.array([[0.0, 1.0], [0.0, 0.0]], np.float32)
    heat = spread(bright, Geometry.of_file((40, 20), 1, ImageShape(3, 2, 2, "crop")), (20, 40))
    assert (~np.isnan(heat)).nonzero()[1].tolist() == [*range(10, 30)] * 20
    y, x = np.unravel_index(np.nanargmax(heat), heat.shape)
    assert y < 10
    assert x >= 20
    letterbox = Geometry.of_file((40, 20), 1, ImageShape(3, 4, 4, "letterbox"))
    inside = np.zeros((4, 4), np.float32)
    inside[0] = 1.0  # in the upper bar, which is not part of the image
    assert spread(inside, letterbox, (20, 40)).max() < 0.5  # the border itself, and nothing is nan
    whole = Geometry((2, 2), (8, 8), (0.0, 0.0, 8.0, 8.0))  # where the pixels of a small input stay squares
    assert np.array_equal(spread(bright, whole, (8, 8), smooth=False), bright.repeat(4, 0).repeat(4, 1))


def test_the_overlay_is_gray_without_heat_colored_with_it_and_dark_where_nothing_is_seen() -> None:
    bright = brightness(np.array([[-2.0, 4.0, np.nan]], np.float32))  # what speaks against the class is not shown
    shown = overlay(np.full((1, 3, 3), 100, np.uint8), bright)
    hottest = np.array(colormaps["inferno"](1.0)[:3]) * 255
    assert shown[0, 0].tolist() == [154, 154, 154]
    np.testing.assert_allclose(shown[0, 1], 0.2 * 154.25 + 0.8 * hottest, atol=1)
    assert shown[0, 2].tolist() == [35, 35, 35]
    ramp = brightness(np.arange(1, 1002, dtype=np.float32)[None])  # of which the highest 0.5 % have the brightest color
    assert (ramp[0, 497], ramp.max()) == (pytest.approx(0.5), 1)
