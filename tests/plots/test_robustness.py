"""The plot of accuracies against changes of images."""

from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from dlnotes_cli.plots.curves import AccuracyCurve, draw_robustness


@pytest.mark.draws
def test_amounts_have_few_ticks_at_whole_pixels(figures: list[Figure]) -> None:
    panels = [
        (name, [AccuracyCurve("run", amounts, [0.5] * len(amounts))])
        for name, amounts in (("shift", (0, 1, 2)), ("noise", (0, 0.04, 0.08, 0.12, 0.16, 0.2)))
    ]
    draw_robustness(panels, "digits")
    shift, noise = figures[0].axes
    assert [tick for tick in shift.get_xticks() if 0 <= tick <= 2] == [0, 1, 2]
    figures[0].draw_without_rendering()
    boxes = [label.get_window_extent() for label in noise.get_xticklabels() if label.get_text()]
    assert all(left.x1 + 3 < right.x0 for left, right in pairwise(boxes))
