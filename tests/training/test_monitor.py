"""What chooses the best epoch: the rule, the ranking against scikit-learn, and a run with each metric."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import Command, small_training
from sklearn.metrics import f1_score

from dlnotes_cli.training.metrics import Evaluation, Monitor

pytestmark = pytest.mark.usefixtures("blank_figures")


def test_auto_is_accuracy_from_5000_samples_on() -> None:
    assert [Monitor.of("auto", samples).name for samples in (4_999, 5_000)] == ["loss", "accuracy"]
    assert [Monitor.of("loss", 10_000).name, Monitor.of("macro-f1", 3).name] == ["loss", "macro-f1"]


def test_macro_f1_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels, predicted = generator.integers(0, 4, 200), generator.integers(0, 4, 200)
    confusion = np.zeros((4, 4), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    monitor = Monitor("macro-f1")
    metrics = monitor.metrics(Evaluation(1.5, confusion))
    assert monitor.rank(metrics) == pytest.approx((f1_score(labels, predicted, average="macro"), -1.5))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("loss", lambda v: -v["loss"]),
        ("accuracy", lambda v: (v["accuracy"], -v["loss"])),
        ("macro-f1", lambda v: v["macro_f1"]),
    ],
)
def test_the_monitored_metric_chooses_the_epoch(name: str, key: object, tmp_path: Path, dlnotes: Command) -> None:
    words = ("--monitor", name, "--epochs", 8, "--lr", 0.3, "--schedule", "constant", "--optimizer", "sgd", "--json")
    result = json.loads(dlnotes(*small_training(tmp_path / "run", *words)).out)
    history = [json.loads(line)["validation"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    best = max(range(8), key=lambda i: key(history[i]))  # type: ignore[operator]
    assert result["best_epoch"] == best + 1
    assert result["monitor"] == {"name": name, "value": history[best][name.replace("-", "_")]}
    assert set(result["validation"]) == {"loss", "accuracy", "samples"}
    again = dlnotes("train-mlp", "--resume", tmp_path / "run", "--json", "-q")  # the stored result is read
    assert json.loads(again.out) == result
