"""Sheets of images, of bars and of numbers: nothing is cut, and captions say what is shown."""

import numpy as np
from drawn import has_white_margin, pixels, texts
from matplotlib.figure import Figure

from dlnotes_cli.plots.images import (
    ClassBars,
    ShownPrediction,
    draw_class_bars,
    draw_pixel_numbers,
    draw_predictions,
    draw_variants,
)

BLACK = np.zeros((3, 8, 8), np.uint8)


def test_captions_of_predictions(figures: list[Figure]) -> None:
    shown = [ShownPrediction(BLACK, 1, 0, 0.891), ShownPrediction(BLACK, 2, 2, 0.5), ShownPrediction(BLACK, 2, 1, 1.0)]
    names = ["ship", "truck", "a class with quite a long name"]
    assert has_white_margin(draw_predictions(shown, names, mistakes=30, samples=1000, title="$x$"))
    drawn = texts(figures[-1])
    assert {r"\$x\$", "mistakes: 2 of 30, the most confident first", "correct: 1 of 970"} <= set(drawn)
    assert {"ship", "(truck)", "89.1%", "100.0%", "50.0%"} <= set(drawn)
    draw_predictions(shown[1:2], names, mistakes=0, samples=1)
    assert not any(text.startswith("mistakes") for text in texts(figures[-1]))


def test_rows_of_variants_have_names_and_captions(figures: list[Figure]) -> None:
    rows = np.zeros((2, 4, 3, 16, 16), np.uint8)
    png = draw_variants(rows, ["a", "b" * 90], [["x", "y", "z"], ["", "", "w"]], "title " * 40)
    assert has_white_margin(png)
    assert {"a", "original", "variant 3", "x", "w"} <= set(texts(figures[-1]))
    assert (pixels(png)[..., 0] == 0).sum() >= 8 * 128 * 128  # each image has so many pixels at least


def test_bars_have_their_percentages(figures: list[Figure]) -> None:
    image, long = np.zeros((3, 5, 9), np.uint8), "a class whose name is much longer than the room for it"
    shown = [
        ClassBars(image, "some/where/a file $x$.png", (("cat", 0.125), (long, 0.875))),
        ClassBars(image, "b.png", (("cat", 1.0), ("dog", 0.0))),
    ]
    for count in (1, 2):
        assert has_white_margin(draw_class_bars(shown[:count]))
    drawn = texts(figures[-1])
    assert {"12.5%", "87.5%", "100.0%", "0.0%", "cat", "dog"} <= set(drawn)
    assert any("…" in text and text.startswith("a class") for text in drawn)
    assert any(r"\$x\$" in text for text in drawn)


def test_numbers_are_legible_on_dark_and_bright_pixels(figures: list[Figure]) -> None:
    assert has_white_margin(draw_pixel_numbers(np.array([[[[0, 255], [140, 141]]]], np.uint8), ["x"], "title", str))
    cells = {text.get_text(): text.get_color() for text in figures[-1].axes[0].texts}
    assert cells == {"0": "white", "255": "black", "140": "white", "141": "black"}
