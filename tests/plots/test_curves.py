"""The plot of a history has the run's name, and says when there is only one validation."""

from pathlib import Path
from typing import Any

import pytest
from builders import Command, small_training
from drawn import texts
from matplotlib.figure import Figure

from dlnotes_cli.plots.curves import draw_curves


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
