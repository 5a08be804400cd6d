"""The sheet of filtered images: framed kernels, labeled spectra."""

import numpy as np
from drawn import has_white_margin, pixels, texts
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from dlnotes_cli.filter.filter_plot import FilterRow, draw_filters


def test_white_kernels_and_images_have_a_frame(figures: list[Figure]) -> None:
    white = np.full((3, 20, 30), 255, np.uint8)
    png = draw_filters([FilterRow(white, [("ones", np.ones((2, 3)), 6.0)], white, "ones, clip")])
    collections = [c for c in figures[-1].axes[0].collections if isinstance(c, LineCollection)]
    assert sorted(len(c.get_segments()) for c in collections) == [3, 4]
    dark_columns = (pixels(png).mean(axis=2) < 250).mean(axis=0)
    assert (dark_columns > 0.4).sum() >= 2 * 4  # two sides of each image, four lines of the kernel
    assert has_white_margin(png)


def test_spectra_and_their_axes_are_labeled(figures: list[Figure]) -> None:
    gray, spectrum = np.zeros((1, 8, 8), np.uint8), np.zeros((8, 8))
    row = FilterRow(gray, [("k", np.ones((3, 3)), 9.0)], gray, "k, signed", "stretched", (spectrum, spectrum - 20))
    png = draw_filters([row])
    drawn = texts(figures[-1])
    for text in ("spectrum of the original", "spectrum of the result", "horizontal frequency (cycles per pixel)",
                 "vertical frequency", "magnitude (dB, 0 = largest of the original)", "stretched"):  # fmt: skip
        assert text in drawn
    assert has_white_margin(png)


def test_raw_values_are_colored_by_their_sign_with_a_scale(figures: list[Figure]) -> None:
    gray = np.zeros((1, 20, 30), np.uint8)
    values = np.zeros((1, 20, 30), np.float32)
    values[0, :, :10], values[0, :, 20:] = -500, 2040
    png = draw_filters([FilterRow(gray, [], values, "k, raw", "from -500 to 2040")])
    assert has_white_margin(png)
    canvas, bar = figures[-1].axes
    shown = canvas.get_images()[-1]
    assert shown.get_clim() == (-2040, 2040)
    low, zero, high = (shown.to_rgba(np.array([[value]]))[0, 0] for value in (-500, 0, 2040))
    assert low[2] > low[0] + 0.1  # blue below 0
    assert zero[:3].min() > 0.95  # white at 0
    assert high[0] > high[2] + 0.2  # red above
    assert bar.get_ylim() == (-500, 2040)


def test_a_map_without_negative_values_has_the_upper_half_of_the_scale(figures: list[Figure]) -> None:
    gray = np.zeros((1, 8, 8), np.uint8)
    draw_filters([FilterRow(gray, [], np.full((1, 8, 8), 3, np.float32), "k"), FilterRow(gray, [], gray, "clipped")])
    assert figures[-1].axes[1].get_ylim() == (0, 3)
    draw_filters([FilterRow(gray, [], np.zeros((1, 8, 8), np.float32), "black")])
    assert figures[-1].axes[1].get_ylim() == (0, 1)
