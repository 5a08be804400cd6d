"""A result is the same after it was stored as JSON and read again."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dlnotes_cli.char_rnn.train import CharRnnResult, TextData, ValidationMetrics
from dlnotes_cli.shell.codec import from_json, to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.results import ClassifierData, ClassifierResult, ModelSummary, Timing, TrainingResult
from dlnotes_cli.transfer.plan import LayerSummary
from dlnotes_cli.transfer.results import FoldSummary, FrozenResult

COMMON: dict[str, Any] = {
    "command": "train", "version": "1", "seed": 3, "device": "cpu", "precision": "fp32", "threads": 2,
    "compiled": True,
    "model": ModelSummary("mlp", {"hidden": [2, 3]}, 17), "epochs": 4, "best_epoch": 2, "steps": 40,
    "train": Metrics(loss=0.5, accuracy=0.75, samples=8), "timing": Timing(1.0, 2.0, 3.0, 6.0, 4.0), "out": "run",
    "model_file": "run/model.safetensors", "plots": ("run/a.png", "run/b.png"),
}  # fmt: skip
CLASSIFIER: dict[str, Any] = {
    "data": ClassifierData("digits", "f", ("no", "yes"), {"train": 8, "val": 2}, 1),
    "validation": Metrics(loss=math.nan, accuracy=0.5, samples=2), "test": None,
}  # fmt: skip
RESULTS: list[TrainingResult] = [
    ClassifierResult(**COMMON, **CLASSIFIER),
    FrozenResult(
        **COMMON, **CLASSIFIER, backbone="squeezenet1_1", weights="none", pretrained=False, fine_tune=None,
        layers=(LayerSummary("a", 9, trains=False, lr_factor=None), LayerSummary("head", 4, trains=True, lr_factor=1)),
        weight_decay=0.1, folds=FoldSummary(2, [0.8, 1.0], 0.9, 0.14), features=None,
    ),
    CharRnnResult(
        **COMMON, data=TextData("a.txt", "f", 1, "chars", 30, {"train": 90, "val": 10}), best_step=20, test=None,
        validation=ValidationMetrics(loss=2.0, accuracy=0.4, samples=10, bits_per_char=2.9, perplexity=7.4),
    ),
]  # fmt: skip


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_result_is_read_back_from_json(result: TrainingResult) -> None:
    stored = json.loads(json.dumps(to_json(result), allow_nan=False))
    again = from_json(type(result), stored, Path("result.json"))
    assert repr(again) == repr(result)  # nan is not equal to itself


@pytest.mark.parametrize("field", ["classes", "counts", "skipped"])
def test_a_damaged_description_of_the_data_is_named(field: str) -> None:
    stored = json.loads(json.dumps(to_json(RESULTS[0])))
    stored["data"][field] = 1.5
    with pytest.raises(InputError, match=rf"result.json: is damaged \({field} is 1.5\)"):
        from_json(ClassifierResult, stored, Path("result.json"))
