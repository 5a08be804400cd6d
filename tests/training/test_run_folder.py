"""The folder of a run: where it may be, and what a failure leaves in it."""

import re
from pathlib import Path

import pytest
from builders import Command, folder_digest, make_images, small_training

from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import UnfinishedError

pytestmark = pytest.mark.usefixtures("blank_figures")


def _no_disk_space(folder: Path, *_: object) -> None:
    raise UnfinishedError(folder, "the disk is too full: 2 bytes needed, 1 free", "free space")


@pytest.mark.parametrize("out", [["--out", "new"], ["--out", "new/below"], []], ids=" ".join)
def test_a_run_without_disk_space_leaves_no_folder(
    out: list[str], tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "check_room", _no_disk_space)
    words = small_training(tmp_path / "x", "-q")
    position = words.index("--out")
    outcome = dlnotes(*words[:position], *words[position + 2 :], *out)
    assert outcome.code == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["train-mlp --hidden 4", "transfer"])
@pytest.mark.parametrize(
    ("folder", "words", "message"),
    [
        ("photos", "--data .", r"--out: runs is inside the data \.; give --out outside of it"),
        (".", "--data photos --out photos/red/run", r"--out: photos/red/run is inside the data photos"),
        (".", "--data photos --out shortcut/run", r"--out: shortcut/run is inside the data photos"),
        (".", "--data linked --out photos/red/run", r"--out: photos/red/run is inside the data linked"),
    ],
)
def test_a_run_inside_its_training_data_is_refused(
    command: str,
    folder: str,
    words: str,
    message: str,
    tmp_path: Path,
    dlnotes: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_images(tmp_path / "photos", count=3)
    (tmp_path / "shortcut").symlink_to(tmp_path / "photos")
    make_images(tmp_path / "linked", count=3)
    (tmp_path / "linked" / "crimson").symlink_to(tmp_path / "photos" / "red")
    monkeypatch.chdir(tmp_path / folder)
    before = folder_digest(tmp_path)
    outcome = dlnotes(*command.split(), *words.split(), "-q")
    assert (outcome.code, folder_digest(tmp_path)) == (2, before)
    assert re.search(message, outcome.err)


def test_a_run_that_lies_inside_its_training_data_is_not_resumed(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_images(tmp_path / "photos", count=6)
    monkeypatch.chdir(tmp_path)
    assert dlnotes("train-mlp", "--data", "photos", "--hidden", 4, "--epochs", 1, "-q", "--out", "run").code == 0
    Path("run").rename("photos/run")
    outcome = dlnotes("train-mlp", "--resume", "photos/run", "-q")
    assert outcome.code == 2
    assert "--resume: photos/run is inside the data photos; move the run out of it" in outcome.err
    Path("photos/run").rename("moved")
    assert dlnotes("train-mlp", "--resume", "moved", "--epochs", 2, "-q").code == 0
