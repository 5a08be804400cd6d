"""Contact sheets: their size, exact pixels, and labels of any length and script."""

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dlnotes_cli.plots.contact_sheet import (
    ColorBar,
    ContactSheet,
    Panel,
    Section,
    _label_lines,
    _width,
    _wrapped,
    colored,
    gray_to_rgb,
)


def drawn(sheet: ContactSheet) -> np.ndarray:
    with Image.open(io.BytesIO(sheet.png())) as image:
        return np.asarray(image.convert("RGB"))


def test_a_small_image_is_enlarged_by_whole_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    canvas = drawn(ContactSheet("title", [Section([Panel(pixels, "unit 1")])], columns=1, side=100))
    enlarged = pixels.repeat(12, axis=0).repeat(12, axis=1)
    places = [
        (y, x)
        for y in range(canvas.shape[0] - 95)
        for x in range(24, 40)
        if np.array_equal(canvas[y, x], pixels[0, 0]) and np.array_equal(canvas[y : y + 96, x : x + 96], enlarged)
    ]
    assert len(places) == 1


def test_a_sheet_grows_with_its_rows_and_is_as_wide_as_its_columns() -> None:
    panel = Panel(np.zeros((20, 20, 3), np.uint8), "a")
    one, two = (drawn(ContactSheet("t", [Section([panel] * count)], columns=4, side=80)) for count in (4, 8))
    assert one.shape[1] == two.shape[1] == 2 * 24 + 4 * 94 - 14
    assert two.shape[0] > one.shape[0] + 80


@settings(max_examples=30)
@given(st.text(max_size=200))
def test_a_label_fits_into_its_room(text: str) -> None:
    assert len(_label_lines(text, 7.5, 120)) <= 2
    lines = _wrapped(text, 7.5, 120, 2)
    assert len(lines) <= 2
    assert all(_width(line, 7.5) <= 120 or len(line) <= 2 for line in lines)
    if text.isascii() and len(text.split()) <= 2 and len(text) <= 6:
        assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_text_is_broken_between_words_or_after_a_mark_and_cut_with_an_ellipsis() -> None:
    assert _wrapped("golden retriever", 7.5, 120, 2) == ["golden", "retriever"]
    assert _wrapped("curved_lane-at-noon.jpg", 7.5, 80, 3) == ["curved_", "lane-at-", "noon.jpg"]
    assert _wrapped("a name that is much too long for two lines of a label", 7.5, 120, 2)[-1].endswith("…")


def test_a_long_label_keeps_its_end() -> None:
    """Names of classes that start alike stay different."""
    names = [f"a retriever with a long name of the {color} kind" for color in ("golden", "black")]
    first, second = (_label_lines(name, 7.5, 120) for name in names)
    assert first != second
    assert first[-1].endswith("kind")
    assert "…" in "".join(first)


def test_colors_are_symmetric_around_zero_and_dark_at_zero_without_negative_values() -> None:
    signed = colored(np.array([[-2.0, 0.0, 1.0]]), -2, 1)
    assert signed[0, 1].min() > 240  # white
    assert signed[0, 0, 2] > signed[0, 0, 0]  # blue
    assert signed[0, 2, 0] > signed[0, 2, 2]  # red
    assert colored(np.array([[0.0, 1.0]]), 0, 1)[0, 0].max() < 10


def test_gray_and_color_images_become_rgb() -> None:
    shapes = [gray_to_rgb(np.zeros(shape, np.uint8)).shape for shape in ((5, 6), (1, 5, 6), (3, 5, 6))]
    assert shapes == [(5, 6, 3)] * 3


def test_blocks_of_sections_lie_next_to_each_other_beside_the_first_image() -> None:
    panel = Panel(np.zeros((20, 20, 3), np.uint8), "a")
    sections = [Section([panel] * 3, "layer", bar=ColorBar(0, 1, "0", "1"))] * 4
    one = drawn(ContactSheet("t", sections, side=80))
    two = drawn(ContactSheet("t", sections, side=80, blocks=2))
    lead = drawn(ContactSheet("t", sections, side=80, blocks=2, lead=Panel(np.full((8, 8, 3), 255, np.uint8), "image")))
    assert one.shape[0] > 1.5 * two.shape[0]
    assert two.shape[1] == 2 * 24 + 2 * (3 * 94 - 14) + 44
    assert lead.shape[1] == two.shape[1] + 94 + 22
    assert lead.shape[0] == two.shape[0]


def test_a_block_is_as_wide_as_its_color_bar_and_heading() -> None:
    sections = [Section([Panel(np.zeros((8, 8, 3), np.uint8))], "norm1  BatchNorm1d", bar=ColorBar(0, 1, "0", "1"))] * 2
    assert drawn(ContactSheet("t", sections, side=40, blocks=2)).shape[1] > 2 * (24 + 150) + 44


def test_a_color_bar_goes_from_black_or_symmetrically_from_blue_to_red() -> None:
    panel = Panel(np.full((8, 8, 3), 255, np.uint8))
    for bar, reds in ((ColorBar(-2, 1, "-2", "2"), True), (ColorBar(0, 1, "0", "1"), False)):
        pixels = drawn(ContactSheet("", [Section([panel], bar=bar)], side=200)).astype(int)
        is_blue = (pixels[..., 2] > pixels[..., 0] + 60) & (pixels[..., 2] > pixels[..., 1] + 10)
        is_black = pixels.max(2) < 30
        assert is_blue.any() == reds
        assert (is_black.sum() > 9) != reds
