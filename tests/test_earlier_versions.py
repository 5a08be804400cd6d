"""Runs and model files of version 0.1 load and resume: each folder of fixtures was interrupted and not finished."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import Command
from PIL import Image

FIXTURES = Path(__file__).parent / "fixtures" / "version_0_1"
WORDS = ("the", "cat", "saw", "a", "dog", "and", "ran", "home")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the fixtures, with the text and the images that they were made from."""
    shutil.copytree(FIXTURES, tmp_path, dirs_exist_ok=True)
    draw = random.Random(0)
    (tmp_path / "words.txt").write_text(" ".join(draw.choice(WORDS) for _ in range(1200)) + "\n")
    y, x = np.mgrid[:32, :48]
    content = np.stack([x * 4, y * 6, 255 - x * 4], -1).astype(np.uint8)
    Image.fromarray(content).save(tmp_path / "style" / "content.png")
    stripes = np.where((x + y)[..., None] // 6 % 2, (200, 30, 40), (20, 60, 200)).astype(np.uint8)
    Image.fromarray(stripes).save(tmp_path / "style" / "stripes.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("run", "command"), [("mlp", "train-mlp"), ("cnn", "train-cnn"), ("char_rnn", "char-rnn train")]
)
def test_an_interrupted_run_ends_as_if_it_had_not_been_interrupted(
    run: str, command: str, home: Path, dlnotes: Command
) -> None:
    resumed = dlnotes(*command.split(), "--resume", run, "--json", "-q")
    assert resumed.code == 0, resumed.err
    found, expected = (json.loads(text) for text in (resumed.out, (home / run / "uninterrupted.json").read_text()))
    assert (found["steps"], found["best_epoch"]) == (expected["steps"], expected["best_epoch"])
    for split in ("train", "validation"):
        assert found[split]["loss"] == pytest.approx(expected[split]["loss"], rel=1e-3), split


@pytest.mark.parametrize("run", ["mlp", "cnn", "transfer"])
def test_a_classifier_is_evaluated(run: str, home: Path, dlnotes: Command) -> None:
    evaluated = dlnotes("evaluate", home / run, "--split", "val", "--json", "-q")
    assert evaluated.code == 0, evaluated.err
    last = json.loads((home / run / "metrics.jsonl").read_text().splitlines()[-1])
    assert json.loads(evaluated.out)["samples"] > 0
    if run != "transfer":  # whose model is one of several fits
        assert json.loads(evaluated.out)["loss"] == pytest.approx(last["validation"]["loss"], rel=1e-3)


def test_a_transfer_run_resumes(home: Path, dlnotes: Command) -> None:
    before = json.loads((home / "transfer" / "result.json").read_text())
    resumed = dlnotes("transfer", "--resume", "transfer", "--json", "-q")
    assert resumed.code == 0, resumed.err
    # Features are computed in bf16 where the processor has it, so the loss depends on the processor.
    assert json.loads(resumed.out)["test"]["loss"] == pytest.approx(before["test"]["loss"], rel=5e-2)


def test_a_character_model_samples_and_scores(home: Path, dlnotes: Command) -> None:
    sampled = dlnotes("char-rnn", "sample", home / "char_rnn", "--length", 20, "--json")
    assert len(json.loads(sampled.out)["samples"][0]["text"]) == 20
    assert dlnotes("char-rnn", "score", home / "char_rnn", home / "words.txt", "--json").code == 0


def test_an_interrupted_image_of_another_network_is_refused(
    home: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home / "style")
    words = "--content content.png --style stripes.png --size 48 --steps 6 --scales 1 --threads 1 --precision fp32 -q"
    resumed = dlnotes("style-transfer", *words.split(), "--continue", "--out", "stylized.png")
    assert resumed.code == 2
    assert "was made from other images or options, or by another version" in resumed.err
