"""The folder of a run where nothing can be written."""

import errno
import os
from pathlib import Path

import pytest
from builders import Command, folder_digest, small_training

from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import UnfinishedError


def _full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def _no_room(folder: Path, *_: object) -> None:
    raise UnfinishedError(folder, "the disk is too full: 2 bytes needed, 1 free", "free space")


def test_resume_on_a_full_disk_is_told_in_one_line(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    assert dlnotes(*small_training(folder)).code == 0
    before = folder_digest(folder)
    monkeypatch.setattr(os, "write", _full)
    monkeypatch.setattr(files, "check_room", _no_room)
    outcome = dlnotes("train-mlp", "--resume", folder, "--epochs", 4, "-q")
    assert (outcome.code, outcome.err.count("\n")) == (3, 1)
    assert f"{folder}: the disk is too full" in outcome.err
    assert folder_digest(folder) == before


def test_a_lock_that_cannot_be_made_is_told_in_one_line(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def refuse(path: Path, *words: object, **options: object) -> object:
        return _full() if path.name == ".lock" else opened(path, *words, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    outcome = dlnotes(*small_training(tmp_path / "run", "-q"))
    assert (outcome.code, outcome.err.count("\n")) == (3, 1)
    assert ".lock: disk full: " in outcome.err


@pytest.mark.parametrize("out", [["--out", "new"], ["--out", "new/below"], []], ids=" ".join)
def test_a_run_that_finds_no_room_leaves_no_folder(
    out: list[str], tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "check_room", _no_room)
    words = small_training(tmp_path / "x", "-q")
    place = words.index("--out")
    outcome = dlnotes(*words[:place], *words[place + 2 :], *out)
    assert outcome.code == 3
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays(tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(files, "check_room", _no_room)
    assert dlnotes(*small_training(tmp_path / "run", "-q")).code == 3
    assert list((tmp_path / "run").iterdir()) == []
