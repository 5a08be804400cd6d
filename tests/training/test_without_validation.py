"""--val-split 0: all training samples are trained on, the last weights are kept, and the result says so."""

import json
from pathlib import Path

import pytest
from builders import Command, make_images, small_training

from dlnotes_cli.training.tensor_file import read_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")
WITHOUT = ("--val-split", 0)


def test_the_last_weights_are_kept_and_no_validation_is_reported(tmp_path: Path, dlnotes: Command) -> None:
    outcome = dlnotes(*small_training(tmp_path / "run", *WITHOUT, "--epochs", 3, "--lr", 0.5, "--json"))
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert result["data"]["counts"] == {"train": 256, "val": 0, "test": 359}
    assert result["validation"] == {"loss": None, "accuracy": None, "samples": 0}
    assert (result["best_epoch"], result["epochs"], result["monitor"]) == (3, 3, None)
    model, last = (read_tensors(tmp_path / "run" / f"{name}.safetensors")[0] for name in ("model", "last"))
    assert all(model[name].equal(last[f"network.{name}"]) for name in model)
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["validation"]["samples"] for entry in history] == [0, 0, 0]
    evaluated = json.loads(dlnotes("evaluate", tmp_path / "run", "--json").out)
    assert (evaluated["split"], evaluated["loss"]) == ("test", pytest.approx(result["test"]["loss"]))
    refused = dlnotes("evaluate", tmp_path / "run", "--split", "val")
    assert (refused.code, "has no split 'val'; choose from train, test, all" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--patience", 3), "--patience: cannot be combined with --val-split 0; drop one of them"),
        (("--ema", 0.9), "--ema: cannot be combined with --val-split 0"),
        (("--data", "{home}/val"), "--val-split: is 0, but the data has a validation split; drop --val-split"),
        (("--data", "{home}/train"), "--val-split: 0 leaves no sample to measure, since the data has no test split"),
    ],
)
def test_what_needs_validation_samples_is_refused(
    words: tuple[object, ...], message: str, tmp_path: Path, dlnotes: Command
) -> None:
    for folder, splits in (("val", ("train", "val")), ("train", ("train",))):
        for split in splits:
            make_images(tmp_path / folder / split, count=2)
    arguments = [str(word).format(home=tmp_path) for word in words]
    outcome = dlnotes(*small_training(tmp_path / "run", *WITHOUT, *arguments))
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert not (tmp_path / "run").exists()
