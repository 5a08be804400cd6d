"""Typed results of style transfer, and their JSON."""

import json
import math
from dataclasses import replace
from pathlib import Path

from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.style.optimization import LossValues
from dlnotes_cli.style.results import ScaleResult, StylizedImage

LOSSES = [
    LossValues(math.nan, 1.0, 2.0, 3.0),
    LossValues(5.0, 0.0, math.inf, 3.0),
    LossValues(4.0, 0.5, 3.5, 3.0),
    LossValues(4.0, 0.6, 3.4, 3.0),
]
SCALE = ScaleResult((32, 48), 3, 1.235, LOSSES)


def test_the_best_evaluation_is_the_first_with_the_lowest_total() -> None:
    assert SCALE.best is LOSSES[2]


CURVES = {
    "total": [None, 5.0, 4.0, 4.0],
    "content": [1.0, 0.0, 0.5, 0.6],
    "style": [2.0, None, 3.5, 3.4],
    "variation": [3.0, 3.0, 3.0, 3.0],
}


def test_a_scale_has_its_first_last_and_best_losses_and_all_of_them_as_curves() -> None:
    scale = {
        "size": [32, 48],
        "steps": 3,
        "seconds": 1.235,
        "losses": {
            "first": {"total": None, "content": 1.0, "style": 2.0, "variation": 3.0},
            "last": {"total": 4.0, "content": 0.6, "style": 3.4, "variation": 3.0},
            "best": {"total": 4.0, "content": 0.5, "style": 3.5, "variation": 3.0},
        },
    }
    assert to_json(SCALE) == scale
    assert to_json(replace(SCALE, has_curves=True)) == scale | {"curves": CURVES}


def test_a_scale_survives_a_checkpoint() -> None:
    stored = json.loads(json.dumps(SCALE.as_stored(), allow_nan=False))
    assert stored["losses"] == CURVES
    restored = ScaleResult.from_stored(stored)
    assert restored.as_stored() == stored
    assert restored.best == SCALE.best
    assert restored.evaluations[2:] == LOSSES[2:]


def test_an_image_of_an_earlier_call_has_neither_size_nor_seconds() -> None:
    finished = StylizedImage("a.jpg", Path("a.png"), 0.03)
    assert to_json(finished) == {"content": "a.jpg", "out": "a.png", "ratio": 0.03, "scales": []}
