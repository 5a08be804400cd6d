"""A run that was stopped, killed or starved goes on to the very same weights and history."""

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders import Command, small_training

from dlnotes_cli.training.checkpoint import read_tensors

# Dropout, augmentation, momentum and batch norm all carry state that a resume must restore.
FULL = ["--dropout", "0.3", "--augment", "shift:1,rotate:10", "--batch-norm", "--epochs", "30", "--limit", "1000"]


def start(*words: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "dlnotes_cli", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*words: object) -> int:
    process = start(*words)
    process.communicate(timeout=120)
    return process.returncode


def assert_same_run(one: Path, other: Path) -> None:
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    weights, others = (read_tensors(folder / "last.safetensors")[0] for folder in (one, other))
    assert {name: t.tolist() for name, t in weights.items()} == {name: t.tolist() for name, t in others.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run(*small_training(folder, *FULL)) == 0
    return folder


def stop_in_training(folder: Path, number: signal.Signals) -> "tuple[int, str]":
    process = start(*small_training(folder, *FULL))
    while process.poll() is None and not (folder / "config.json").exists():
        time.sleep(0.01)
    time.sleep(0.15)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_run_which_then_goes_on_bit_for_bit(
    number: signal.Signals, code: int, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    returned, err = stop_in_training(folder, number)
    assert returned == code, err
    last = err.splitlines()[-1]
    assert re.search(rf"saved at epoch \d+, step \d+ of \d+; continue with --resume {folder}", last)
    assert not (folder / ".lock").exists()
    assert run("train-mlp", "--resume", folder, "--threads", 1) == 0
    assert_same_run(folder, whole)


def kill_and_resume(whole: Path, folder: Path, moments: list[float]) -> None:
    words: list[object] = [*small_training(folder, *FULL)]
    for moment in moments:
        process = start(*words)
        time.sleep(moment)
        process.kill()
        process.communicate(timeout=60)
        if (folder / "config.json").exists():
            words = ["train-mlp", "--resume", folder, "--threads", 1]
        elif folder.exists():
            words = [*small_training(folder, *FULL, "--overwrite")]
    process = start(*words)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert not list(folder.glob(".dlnotes-*"))
    assert_same_run(folder, whole)


def test_killed_at_random_moments_and_resumed(whole: Path, tmp_path: Path) -> None:
    draw = random.Random(1)
    kill_and_resume(whole, tmp_path / "run", [draw.uniform(1.5, 3.5) for _ in range(3)])


@pytest.mark.slow
def test_killed_at_twenty_random_moments_and_resumed_each_time(whole: Path, tmp_path: Path) -> None:
    draw = random.Random(2)
    for number in range(20):
        kill_and_resume(whole, tmp_path / f"run{number}", [draw.uniform(1.0, 4.0)])


@pytest.mark.parametrize("steps", [1, 4, 17, 16 * 3])
def test_a_run_stopped_after_any_step_equals_the_whole(
    steps: int, whole: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dlnotes_cli.training.loop import Trainer

    step = Trainer._step

    def step_then_signal(trainer: Trainer) -> None:
        step(trainer)
        if trainer.position.step == steps:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Trainer, "_step", step_then_signal)
    outcome = dlnotes(*small_training(tmp_path / "run", *FULL))
    assert outcome.code == 143
    monkeypatch.undo()
    assert dlnotes("train-mlp", "--resume", tmp_path / "run").code == 0
    assert_same_run(tmp_path / "run", whole)


def test_resuming_a_finished_run_says_so_and_rewrites_nothing(tmp_path: Path, dlnotes: Command) -> None:
    folder = tmp_path / "run"
    first = dlnotes(*small_training(folder, "--json"))
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = dlnotes("train-mlp", "--resume", folder, "--json")
    assert again.code == 0
    assert "already trained for 2 epochs; raise --epochs" in again.err
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert json.loads(again.out) == json.loads(first.out)


def test_resuming_with_more_epochs_goes_on(tmp_path: Path, dlnotes: Command) -> None:
    folder = tmp_path / "run"
    assert dlnotes(*small_training(folder)).code == 0
    outcome = dlnotes("train-mlp", "--resume", folder, "--epochs", 5, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["epochs"] == 5
    assert json.loads((folder / "config.json").read_text())["epochs"] == 5


def test_a_lost_model_file_is_restored_from_the_state(tmp_path: Path, dlnotes: Command) -> None:
    folder = tmp_path / "run"
    assert dlnotes(*small_training(folder)).code == 0
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-1])
    assert dlnotes("train-mlp", "--resume", folder).code == 0
    assert (folder / "model.safetensors").read_bytes() == content


def test_steps_of_a_time_budget_repeat_it_exactly(tmp_path: Path, dlnotes: Command) -> None:
    words = ["--epochs", "1000", "--limit", "1000", "--json"]
    budgeted = dlnotes(*small_training(tmp_path / "a", *words, "--time-budget", "1.5s"))
    fields = json.loads(budgeted.out)
    assert fields["timing"]["train_s"] < 1.5 * 1.2
    assert dlnotes(*small_training(tmp_path / "b", *words, "--max-steps", fields["steps"])).code == 0
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == (tmp_path / "b" / "metrics.jsonl").read_bytes()


def test_a_full_disk_ends_the_run_and_leaves_the_earlier_state_whole(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = small_training(folder, "--epochs", "2")
    assert run(*words) == 0
    size = (folder / "last.safetensors").stat().st_size
    command = [sys.executable, "-m", "dlnotes_cli", "train-mlp", "--resume", str(folder), "--epochs", "4"]

    def only_small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=only_small_files, check=False)
    assert done.returncode == 3, done.stderr
    assert re.search(
        r"safetensors: disk full: [\d,]+ bytes needed, [\d,]+ free; free space", done.stderr.splitlines()[-1]
    )
    assert not list(folder.glob(".dlnotes-*"))
    assert read_tensors(folder / "last.safetensors")[1]["position"]["epoch"] == 3
    assert run("train-mlp", "--resume", folder, "--epochs", 4) == 0
