"""Unusual names of classes and files: bytes that are not UTF-8, line breaks, characters without a glyph."""

import csv
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from builders import Command, make_images, small_training

from dlnotes_cli.plots import fonts
from dlnotes_cli.plots.confusion import draw_confusion
from dlnotes_cli.training.model_file import load_classifier

CAFE = os.fsdecode(b"caf\xe9")


def _can_hold_bytes(folder: Path) -> bool:
    try:
        (folder / CAFE).touch()
    except OSError:  # the file system requires UTF-8
        return False
    (folder / CAFE).unlink()
    return True


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on classes with a name that is not UTF-8, next to its images."""
    home = tmp_path_factory.mktemp("names")
    if not _can_hold_bytes(home):
        pytest.skip("this file system requires UTF-8 names")
    (make_images(home / "images") / "red").rename(home / "images" / CAFE)
    from dlnotes_cli.cli import main

    assert main(small_training(home / "run", "--data", home / "images", "-q")) == 0
    return home


def test_a_class_name_that_is_not_utf_8_is_kept(home: Path) -> None:
    result = json.loads((home / "run" / "result.json").read_text())
    assert result["data"]["classes"] == ["blue", CAFE, "green"]
    assert load_classifier(home / "run" / "model.safetensors").classes == ("blue", CAFE, "green")


def test_evaluate_writes_the_name_unchanged(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    path = tmp_path / "scores.csv"
    outcome = dlnotes("evaluate", home / "run", "--csv", path, "--out", tmp_path / "images")
    assert outcome.code == 0, outcome.err
    assert r"caf\xe9" in dlnotes("evaluate", home / "run").out
    assert path.read_bytes().splitlines()[2].startswith(b"caf\xe9,")


def test_predict_writes_the_name_unchanged(
    home: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.csv"
    assert dlnotes("predict", home / "run", home / "images", "--csv", path).code == 0
    text = path.read_text(errors="surrogateescape")
    assert sum(CAFE in row["item"] for row in csv.DictReader(io.StringIO(text))) == 12
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
    monkeypatch.setattr(sys, "stdout", stdout)
    assert dlnotes("predict", home / "run", home / "images", "--csv", "-").code == 0
    assert stdout.buffer.getvalue() == path.read_bytes()


@pytest.mark.parametrize("source", ["list", "-"])
def test_a_list_of_files_can_contain_the_name(
    source: str, home: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = home / "images" / CAFE / "0.png"
    content = b"\xef\xbb\xbf" + os.fsencode(image) + b"\r\n\n"
    (tmp_path / "list").write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
    outcome = dlnotes("predict", home / "run", "--files-from", source if source == "-" else tmp_path / source, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["predictions"][0]["item"] == str(image)


def test_a_line_break_in_a_name_is_escaped_in_plots() -> None:
    matrix = np.eye(2, dtype=np.int64)
    assert draw_confusion(matrix, ["a\nb", "c"]) == draw_confusion(matrix, [r"a\x0ab", "c"])
    assert draw_confusion(matrix, [CAFE, "c"]) == draw_confusion(matrix, [r"caf\xe9", "c"])


def test_missing_glyphs_are_warned_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    fonts._warn.cache_clear()
    fonts._fallbacks.cache_clear()
    for _ in range(2):
        draw_confusion(np.eye(2, dtype=np.int64), ["\U00012000", "c"])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("dlnotes: warning: no installed font has '\U00012000' or others")
