"""Typed results of style transfer, and their JSON."""

import json
import math
from pathlib import Path

from dlnotes_cli.style.optimization import LossValues
from dlnotes_cli.style.results import ScaleResult, StylizedImage

LOSSES = [
    LossValues(math.nan, 1.0, 2.0, 3.0),
    LossValues(5.0, 0.0, math.inf, 3.0),
    LossValues(4.0, 0.5, 3.5, 3.0),
    LossValues(4.0, 0.6, 3.4, 3.0),
]
SCALE = ScaleResult((32, 48), 3, 1.23456, LOSSES)


def test_the_best_evaluation_is_the_first_with_the_lowest_total() -> None:
    assert SCALE.best == 2


def test_a_scale_lists_its_losses_by_term() -> None:
    assert SCALE.as_json() == {
        "size": [32, 48],
        "steps": 3,
        "seconds": 1.235,
        "losses": {
            "total": [None, 5.0, 4.0, 4.0],
            "content": [1.0, 0.0, 0.5, 0.6],
            "style": [2.0, None, 3.5, 3.4],
            "variation": [3.0, 3.0, 3.0, 3.0],
        },
    }


def test_a_scale_survives_a_checkpoint() -> None:
    stored = json.loads(json.dumps(SCALE.as_json(), allow_nan=False))
    restored = ScaleResult.from_json(stored)
    assert restored.as_json() == stored
    assert restored.best == SCALE.best
    assert restored.losses[2:] == LOSSES[2:]


def test_an_image_of_an_earlier_call_has_neither_size_nor_seconds() -> None:
    finished = StylizedImage("a.jpg", Path("a.png"), 0.03)
    assert finished.as_json() == {"content": "a.jpg", "out": "a.png", "ratio": 0.03, "scales": []}
    stylized = StylizedImage("a.jpg", Path("a.png"), 0.03, (32, 48), 1.23456, (SCALE,)).as_json()
    assert list(stylized) == ["content", "out", "size", "ratio", "seconds", "scales"]
    assert stylized["seconds"] == 1.235
