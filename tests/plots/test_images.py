"""Sheets of images: cells, captions and margins."""

import numpy as np
import pytest
from drawn import has_white_margin, texts
from matplotlib.figure import Figure

from dlnotes_cli.plots.images import ShownPrediction, draw_predictions, draw_side_by_side, draw_variants

BLACK = np.zeros((3, 8, 8), np.uint8)


def test_captions_of_predictions(figures: list[Figure]) -> None:
    shown = [ShownPrediction(BLACK, 1, 0, 0.891), ShownPrediction(BLACK, 2, 2, 0.5), ShownPrediction(BLACK, 2, 1, 1.0)]
    names = ["ship", "truck", "a class with quite a long name"]
    png = draw_predictions(shown, names, mistakes=30, samples=1000)
    drawn = texts(figures[-1])
    assert "mistakes: 2 of 30, the most confident first" in drawn
    assert "correct: 1 of 970" in drawn
    assert "ship (truck)\n89.1%" in drawn
    assert "truck\n(a class wi…long name)\n100.0%" in drawn or any(
        text.startswith("truck\n(a class") and text.endswith("\n100.0%") for text in drawn
    )
    assert has_white_margin(png)


@pytest.mark.parametrize(("wrong", "correct"), [(0, 24), (12, 12), (7, 17), (12, 3)])
def test_sections_without_an_image_are_left_out(wrong: int, correct: int, figures: list[Figure]) -> None:
    shown = [ShownPrediction(BLACK, 0, 1, 0.9)] * wrong + [ShownPrediction(BLACK, 0, 0, 0.9)] * correct
    draw_predictions(shown, ["a", "b"], wrong, wrong + correct)
    drawn = texts(figures[-1])
    assert any(text.startswith("mistakes") for text in drawn) == (wrong > 0)
    assert len(figures[-1].axes[0].images) == wrong + correct


def test_cells_of_variants_have_128_pixels(figures: list[Figure]) -> None:
    rows = np.zeros((2, 4, 3, 16, 16), np.uint8)
    png = draw_variants(rows, ["a", "b" * 60], [["x", "y", "z"]] * 2, "title " * 40)
    extents = [image.get_window_extent() for image in figures[-1].axes[0].images]
    assert len(extents) == 8
    assert all(min(extent.width, extent.height) >= 128 for extent in extents)
    assert has_white_margin(png)


def test_images_side_by_side_do_not_overlap_and_keep_their_shape(figures: list[Figure]) -> None:
    images = [("wide", np.zeros((90, 160, 3), np.uint8)), ("tall", np.zeros((40, 20, 3), np.uint8))]
    png = draw_side_by_side(images)
    wide, tall = (image.get_window_extent() for image in figures[-1].axes[0].images)
    assert wide.width / wide.height == pytest.approx(160 / 90, rel=0.01)
    assert tall.height / tall.width == pytest.approx(2, rel=0.01)
    assert not wide.overlaps(tall)
    assert has_white_margin(png)
