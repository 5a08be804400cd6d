"""The sheet of labeled images: its size, exact pixels, and labels of any length and script."""

import numpy as np
import pytest
from drawn import has_white_margin, pixels
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.plots.names import columns
from dlnotes_cli.plots.sheet import ColorBar, Panel, Section, Sheet, colored, gray_to_rgb, label_lines

PANEL = Panel(np.zeros((20, 20, 3), np.uint8), "a")


def drawn(sheet: Sheet) -> np.ndarray:
    return pixels(sheet.png())


def test_a_small_image_is_enlarged_by_whole_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    canvas = drawn(Sheet("title", [Section([Panel(image, "unit 1")])], columns=1, side=100))
    enlarged = image.repeat(12, axis=0).repeat(12, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(canvas[:, 20:130], (96, 96), axis=(0, 1))
    assert sum(np.array_equal(one.transpose(1, 2, 0), enlarged) for row in windows for one in row) == 1


def test_a_sheet_grows_with_its_rows_and_blocks_lie_next_to_each_other() -> None:
    one, two = (drawn(Sheet("t", [Section([PANEL] * count)], columns=4, side=80)) for count in (4, 8))
    assert one.shape[1] == two.shape[1] == 2 * 24 + 4 * 94 - 14
    assert two.shape[0] > one.shape[0] + 80
    sections = [Section([PANEL] * 3, "layer", bar=ColorBar(0, 1, "0", "1"))] * 4
    image = Panel(np.full((8, 8, 3), 255, np.uint8), "image")
    below, beside, lead = (
        drawn(Sheet("t", sections, side=80, **more)) for more in ({}, {"blocks": 2}, {"blocks": 2, "lead": image})
    )
    assert below.shape[0] > 1.5 * beside.shape[0]
    assert beside.shape[1] == 2 * 24 + 2 * (3 * 94 - 14) + 44
    assert (lead.shape[0], lead.shape[1]) == (beside.shape[0], beside.shape[1] + 94 + 22)


@given(st.text(max_size=200))
def test_a_label_fits_into_its_room(text: str) -> None:
    lines = label_lines(text, 7.5, 120)
    assert len(lines) <= 2
    assert all(columns(line) * 7.5 * 2 * 0.62 <= 120 for line in lines)


def test_long_labels_keep_their_end_and_stay_inside() -> None:
    """Names of classes that start alike stay different."""
    first, second = (label_lines(f"a retriever with a long name of the {color} kind", 7.5, 120) for color in ("x", "y"))
    assert first != second
    assert first[-1].endswith("kind")
    for name in ("猫" * 80, "GOLDEN RETRIEVER " * 20, "$x^2$", "قطة سوداء " * 20):
        assert has_white_margin(Sheet(name, [Section([Panel(PANEL.pixels, name, name)] * 3, name)], name).png())


@pytest.mark.parametrize(("low", "high"), [(-2.0, 1.0), (0.0, 1.0)])
def test_colors_are_symmetric_around_zero_and_black_at_zero_without_negative_values(low: float, high: float) -> None:
    first, zero, last = colored(np.array([[low, 0.0, high]]), low, high)[0].astype(int)
    white = Panel(np.full((8, 8, 3), 255, np.uint8))
    bar = drawn(Sheet("", [Section([white], bar=ColorBar(low, high, "", ""))])).astype(int).reshape(-1, 3)
    if low < 0:
        assert zero.min() > 240
        assert first[2] > first[0]
        assert last[0] > last[2]
        assert np.abs(bar - first).sum(1).min() < 12
    else:
        assert zero.max() < 10
        assert np.abs(bar - last).sum(1).min() < 12


def test_gray_and_color_images_become_rgb() -> None:
    shapes = [gray_to_rgb(np.zeros(shape, np.uint8)).shape for shape in ((5, 6), (1, 5, 6), (3, 5, 6))]
    assert shapes == [(5, 6, 3)] * 3
