"""The plots of a history and of accuracies against changes of images."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from builders import Command, small_training
from drawn import texts
from matplotlib.figure import Figure

from dlnotes_cli.plots.curves import AccuracyCurve, draw_curves, draw_robustness


def history_of(count: int, over: str) -> list[dict[str, Any]]:
    metrics = {"loss": 0.5, "accuracy": 0.75}
    return [
        {over: 10.0**-i if over == "weight_decay" else i + 1, "train": metrics, "validation": metrics}
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("over", "note"),
    [("epoch", "only one validation"), ("step", "only one validation"), ("weight_decay", "only one weight decay")],
)
def test_a_single_validation_is_noted(over: str, note: str, figures: list[Figure]) -> None:
    draw_curves(history_of(1, over), 0, "run", over)
    shown = texts(figures[-1])
    assert any(text.startswith(note) for text in shown)
    assert "validation 0.75" in shown
    draw_curves(history_of(2, over), 0, "run", over)
    assert not any("only one" in text for text in texts(figures[-1]))


def test_the_title_is_the_name_of_the_run(tmp_path: Path, dlnotes: Command, figures: list[Figure]) -> None:
    assert dlnotes(*small_training(tmp_path / "first $try$", "-q")).code == 0
    assert figures[0].get_suptitle() == r"first \$try\$"


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
