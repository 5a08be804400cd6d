"""Images next to the bars of their classes."""

import numpy as np
from drawn import has_white_margin, texts
from matplotlib.figure import Figure

from dlnotes_cli.plots.class_bars import ClassBars, draw_class_bars
from dlnotes_cli.plots.pixel_numbers import draw_pixel_numbers


def test_bars_have_their_percentages_and_nothing_is_cut(figures: list[Figure]) -> None:
    image = np.zeros((3, 5, 9), np.uint8)
    long = "a class whose name is much longer than the room for it"
    shown = [
        ClassBars(image, "some/where/a file $x$.png", (("cat", 0.125), (long, 0.875))),
        ClassBars(image, "b.png", (("cat", 1.0), ("dog", 0.0))),
    ]
    png = draw_class_bars(shown)
    assert has_white_margin(png)
    drawn = texts(figures[-1])
    assert {"12.5%", "87.5%", "100.0%", "0.0%", "cat", "dog"} <= set(drawn)
    assert any("…" in text and text.startswith("a class") for text in drawn)
    assert any(r"\$x\$" in text for text in drawn)
    assert has_white_margin(draw_class_bars(shown[:1]))


def test_numbers_are_legible_on_dark_and_bright_pixels(figures: list[Figure]) -> None:
    image = np.array([[[0, 255], [140, 141]]], np.uint8)
    png = draw_pixel_numbers(image[None], ["x"], "title", str)
    assert has_white_margin(png)
    cells = {text.get_text(): text.get_color() for text in figures[-1].axes[0].texts[2:]}
    assert cells == {"0": "white", "255": "black", "140": "white", "141": "black"}
