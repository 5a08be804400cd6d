"""A run that is stopped or killed and then resumed has the weights and history of an uninterrupted run."""

import itertools
import json
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partialmethod
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from builders import Command, assert_same_run, folder_digest, make_images, make_table, small_training, stopped_after

from dlnotes_cli.training import fit
from dlnotes_cli.training.tensor_file import read_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")

# Dropout, augmentation, momentum and batch norm all have state that a resumed run must restore.
AUGMENT = "shift:1,rotate:10,erase:0.5,mixup:0.5"
FULL = ["--dropout", "0.3", "--augment", AUGMENT, "--batch-norm", "--epochs", "30", "--limit", "1000"]


# A program with checkpoints after every few steps that calls `at_step` before the first step from `STEP` on.
PROGRAM = """
import os, signal, sys, threading
from dlnotes_cli.training.fit import TrainingRun
from dlnotes_cli.training.checkpoint import RunFiles

is_due, take_step = threading.Event(), TrainingRun._step

def step_after_call(run, *arguments):
    if run.progress.step >= STEP and not is_due.is_set():
        is_due.set()
        at_step()
    take_step(run, *arguments)

RunFiles.is_save_due = property(lambda files: files.run.progress.step % EVERY == 0)
TrainingRun._step = step_after_call
"""
RUN = "from dlnotes_cli.cli import main\nsys.exit(main())\n"
EVERY = 7  # steps between two checkpoints


def program(words: Sequence[object], at_step: str, step: int, every: int = EVERY) -> list[str]:
    """The command line of a run that executes `at_step`, an expression, before the first step from `step` on."""
    code = f"STEP, EVERY = {step}, {every}\n{PROGRAM}\nat_step = lambda: {at_step}\n{RUN}"
    return [sys.executable, "-c", code, *map(str, words)]


def run(*words: object) -> int:
    command = [sys.executable, "-m", "dlnotes_cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert run(*small_training(folder, *FULL)) == 0
    return folder


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_run_stopped_by_a_signal_and_resumed_equals_an_uninterrupted_run(
    name: str, code: int, uninterrupted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    words = program(small_training(folder, *FULL), f"os.kill(os.getpid(), signal.{name})", 100)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    # the step that is under way is completed
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f": saved at epoch 7, step 5 of 16; continue with --resume {folder}")
    assert not (folder / ".lock").exists()
    assert run("train-mlp", "--resume", folder, "--threads", 1) == 0
    assert_same_run(folder, uninterrupted)


def saved_step(folder: Path) -> int:
    return int(read_tensors(folder / "last.safetensors")[1]["position"]["step"])


def test_a_run_killed_three_times_and_resumed_equals_an_uninterrupted_run(uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words: Sequence[object] = small_training(folder, *FULL)
    for step in sorted(random.Random(1).sample(range(1, 30 * 16), 3)):
        done = subprocess.run(
            program(words, "os.kill(os.getpid(), signal.SIGKILL)", step), capture_output=True, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert saved_step(folder) == step - step % EVERY
        words = ("train-mlp", "--resume", folder, "--threads", 1)
    assert run(*words) == 0
    assert_same_run(folder, uninterrupted)


@pytest.mark.parametrize("steps", [1, 4, 17, 16 * 3])
def test_a_run_stopped_after_any_step_and_resumed_equals_an_uninterrupted_run(
    steps: int, uninterrupted: Path, tmp_path: Path, dlnotes: Command
) -> None:
    with stopped_after(steps):
        assert dlnotes(*small_training(tmp_path / "run", *FULL)).code == 143
    assert dlnotes("train-mlp", "--resume", tmp_path / "run").code == 0
    assert_same_run(tmp_path / "run", uninterrupted)


SMALL_CNN = "Conv2d(1, 4, 3, padding=1); BatchNorm2d(4); ReLU(inplace=True); MaxPool2d(4); Flatten(); Linear(16, 10)"
CNN = f"train-cnn --layers '{SMALL_CNN}' --augment crop:2,{AUGMENT} --ema 0.99 --limit 512 --epochs 2"
LARGE = "train-cnn --arch large --limit 300 --batch-size 64 --width 0.25 --early-size 0.75 --max-steps 48"
TEXT = "train-text --model rnn --limit 200 --hidden-size 6 --embed 5 --batch-size 32 --epochs 2"
CHAR_RNN = (
    "char-rnn train text.txt --hidden-size 16 --embed 8 --seq-len 16 --batch-size 4 --sample 0 --epochs 2 --ema 0.9"
)
FINE_TUNING = (
    "transfer --data images --backbone squeezenet1_1 --weights none --size 48 --fine-tune last-2 --epochs 2 "
    "--batch-size 8 --lr 0.01"
)
SERIES = "series train --data load.csv --column load --hidden 8 --window 10 --horizon 6 --max-steps 9"


@pytest.mark.parametrize(
    ("command", "steps"),
    [
        (CNN, [1, 8]), (LARGE, [22]), (TEXT, [9]), (FINE_TUNING, [4]),
        (f"{CHAR_RNN} --dropout 0.2 --ema 0.9", [23, 31]),  # at the end of the first epoch, in the second
        (f"{CHAR_RNN} --cell rnn --optimizer rmsprop --ema 0.9 --precision bf16 --eval-every 7", [23, 31]),
        (f"{SERIES} --recipe notes", [4]), (f"{SERIES} --mode free --dropout 0.3", [4]),
    ],
    ids=["cnn", "large", "text", "fine-tuning", "char-rnn", "char-rnn bf16", "carried series", "series"],
)  # fmt: skip
def test_every_kind_of_network_stopped_after_any_step_and_resumed_equals_an_uninterrupted_run(
    command: str, steps: list[int], tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "images", count=14, size=(50, 60))
    (tmp_path / "text.txt").write_text(
        "".join(f"{'abc'[i % 3] * (1 + i % 5)} {i % 7} brown foxes\n" for i in range(99))
    )
    (tmp_path / "load.csv").write_text("load\n" + "".join(f"{i % 12 + i % 5}\n" for i in range(240)))
    words = [*shlex.split(command), "--threads", "1", "-q", "--out"]
    assert dlnotes(*words, "whole").code == 0
    for step in steps:
        with stopped_after(step):
            assert dlnotes(*words, f"run-{step}").code == 143
        name = command.partition(" --")[0].removesuffix(" text.txt").split()
        assert dlnotes(*name, "--resume", f"run-{step}", "-q").code == 0
        assert_same_run(tmp_path / f"run-{step}", tmp_path / "whole")


def test_options_from_python_that_differ_from_those_of_the_run_are_refused(uninterrupted: Path) -> None:
    from dlnotes_cli.api import InputError, TrainMlpConfig, resumed_config, train_mlp

    before = folder_digest(uninterrupted)
    with pytest.raises(InputError, match=r"--resume: \w+ is .+, but .+ in the run; .*resumed_config"):
        train_mlp(TrainMlpConfig(resume=uninterrupted))
    assert train_mlp(resumed_config(TrainMlpConfig, {"resume": uninterrupted})).out == str(uninterrupted)
    assert folder_digest(uninterrupted) == before


@pytest.mark.parametrize(
    "command",
    [
        "char-rnn train --hidden-size 4 --embed 4 --seq-len 8 --sample 0", "series train --data sine --hidden-size 4",
        "train-text --model rnn --hidden-size 4 --embed 4 --limit 200 --max-length 10",
        "transfer --backbone small --size 32 --limit 60 --fine-tune last-1 --recipe notes",
    ],
)  # fmt: skip
def test_the_result_of_a_finished_run_is_read_again(command: str, tmp_path: Path, dlnotes: Command) -> None:
    words = (*command.split(), "--max-steps", 2, "--threads", 1, "--json", "-q", "--out", tmp_path / "run")
    first = dlnotes(*words)
    assert first.code == 0, first.err
    again = dlnotes(*command.partition(" --")[0].split(), "--resume", tmp_path / "run", "--json", "-q")
    assert json.loads(again.out) == json.loads(first.out)


def test_resuming_a_run_that_patience_ended_prints_a_note(tmp_path: Path, dlnotes: Command) -> None:
    words = small_training(tmp_path / "run", "--patience", 1, "--lr", 1e-12, "--epochs", 5)
    assert dlnotes(*words).code == 0
    assert "--patience ended it" in dlnotes("train-mlp", "--resume", tmp_path / "run").err


def test_a_finished_run_is_told_restored_from_its_checkpoint_or_trained_on(tmp_path: Path, dlnotes: Command) -> None:
    folder = tmp_path / "run"
    first = dlnotes(*small_training(folder, "--json", "-q"))
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = dlnotes("train-mlp", "--resume", folder, "--json")
    assert "already trained for 2 epochs; raise --epochs" in again.err
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert json.loads(again.out) == json.loads(first.out)
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-1])
    assert dlnotes("train-mlp", "--resume", folder).code == 0
    assert (folder / "model.safetensors").read_bytes() == content
    more = dlnotes("train-mlp", "--resume", folder, "--epochs", 5)  # the options of output are not those of the run
    assert ("best epoch" in more.out, "model: mlp" in more.err) == (True, True)
    assert json.loads((folder / "result.json").read_text())["epochs"] == 5
    assert json.loads((folder / "config.json").read_text())["epochs"] == 5


@pytest.mark.parametrize("command", ["train-mlp", pytest.param("train-cnn", marks=pytest.mark.slow)])
def test_a_run_beside_a_busy_process_has_the_same_threads_and_weights(command: str, tmp_path: Path) -> None:
    words = [command, "--max-steps", 8, "--threads", 2, "-q", "--out"]
    assert run(*words, tmp_path / "alone") == 0
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        assert run(*words, tmp_path / "beside") == 0
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert_same_run(tmp_path / "alone", tmp_path / "beside")
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("alone", "beside")]
    assert [result["threads"] for result in results] == [2, 2]


def clock(seconds: Iterator[float]) -> SimpleNamespace:
    """A replacement of `time` in the loop, so that a busy machine cannot change how many steps fit a time budget."""
    return SimpleNamespace(monotonic=lambda: next(seconds))


def test_the_number_of_steps_of_a_time_budget_repeats_its_run_exactly(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--epochs", "1000", "--limit", "1000", "--json"]
    monkeypatch.setattr(fit, "time", clock(itertools.count(0.0, 0.001)))
    budgeted = dlnotes(*small_training(tmp_path / "a", *words, "--time-budget", "1s"))
    fields = json.loads(budgeted.out)
    assert fields["steps"] > 100
    assert fields["timing"]["train_s"] < 1
    assert dlnotes(*small_training(tmp_path / "b", *words, "--max-steps", fields["steps"])).code == 0
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == (tmp_path / "b" / "metrics.jsonl").read_bytes()


def test_a_run_that_slows_down_ends_at_its_time_budget_with_a_warning(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowing = itertools.chain((0.001 * i for i in range(600)), itertools.count(0.6, 0.01))
    monkeypatch.setattr(fit, "time", clock(slowing))
    words = ["--epochs", "1000", "--limit", "1000", "--json", "--time-budget", "1s"]
    outcome = dlnotes(*small_training(tmp_path / "run", *words))
    assert outcome.code == 0
    assert "the time budget ended before the schedule did" in outcome.err
    assert json.loads(outcome.out)["timing"]["train_s"] < 1.2


def test_a_limit_on_file_sizes_ends_the_run_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
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
        r"[\d,]+ bytes needed, more than a file may have; raise the limit \(ulimit -f\), then",
        done.stderr.splitlines()[-1],
    )
    assert not list(folder.glob(".dlnotes-*"))
    assert read_tensors(folder / "last.safetensors")[1]["position"]["epoch"] == 3
    assert run("train-mlp", "--resume", folder, "--epochs", 4) == 0


def test_a_run_whose_data_has_changed_is_not_resumed(tmp_path: Path, dlnotes: Command) -> None:
    table = make_table(tmp_path / "rows.csv")
    words = ["train-mlp", "--data", table, "--target", "label", "--hidden", "8", "--out", tmp_path / "run"]
    assert dlnotes(*words, "--max-steps", 3).code == 0
    table.write_text(table.read_text().rpartition("\n")[0].rpartition("\n")[0] + "\n")
    before = folder_digest(tmp_path)
    outcome = dlnotes("train-mlp", "--resume", tmp_path / "run", "--epochs", 9, "-q")
    assert (outcome.code, folder_digest(tmp_path)) == (2, before)
    assert f"--resume: {table} has changed since {tmp_path / 'run'} was started; restore the data" in outcome.err
    evaluated = dlnotes("evaluate", tmp_path / "run")
    assert f"warning: {table} has changed since the training" in evaluated.err


def test_a_finished_run_is_continued_with_a_larger_time_budget(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "time", clock(itertools.count(0.0, 0.001)))
    words = ["train-mlp", "--hidden", "8", "--limit", "200", "--out", tmp_path / "run", "--json"]
    first = json.loads(dlnotes(*words, "--time-budget", "0.4s").out)
    same = json.loads(dlnotes("train-mlp", "--resume", tmp_path / "run", "--json").out)
    more = json.loads(dlnotes("train-mlp", "--resume", tmp_path / "run", "--time-budget", "1.2s", "--json").out)
    assert same["steps"] == first["steps"]
    assert more["steps"] > 2 * first["steps"]
    assert first["timing"]["train_s"] < 0.4
    assert 1 < more["timing"]["train_s"] < 1.2


@pytest.fixture
def half_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fp16 run on the CPU, where it is slow."""
    monkeypatch.setattr("dlnotes_cli.device.has_fp16", lambda _: True)


@pytest.mark.usefixtures("half_on_cpu")
def test_a_run_in_fp16_is_resumed_with_its_loss_scale(tmp_path: Path, dlnotes: Command) -> None:
    words = ("--precision", "fp16", "--epochs", 3)
    with stopped_after(7):
        assert dlnotes(*small_training(tmp_path / "a", *words)).code == 143
    metadata = read_tensors(tmp_path / "a" / "last.safetensors")[1]
    assert metadata["loss_scale"]["_growth_tracker"] == 7
    resumed = dlnotes("train-mlp", "--resume", tmp_path / "a")
    assert resumed.code == 0, resumed.err
    assert dlnotes(*small_training(tmp_path / "b", *words)).code == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_resume_auto_continues_a_run_or_starts_it(tmp_path: Path, dlnotes: Command) -> None:
    words = (*small_training(tmp_path / "run"), "--resume", "auto")
    with stopped_after(3):
        assert dlnotes(*words).code == 143
    assert dlnotes(*words).code == 0
    assert dlnotes(*small_training(tmp_path / "whole")).code == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    finished = dlnotes(*words)
    assert (finished.code, "already trained" in finished.err) == (0, True)


def test_resume_auto_is_refused_where_it_cannot_continue(tmp_path: Path, dlnotes: Command) -> None:
    without = dlnotes("train-mlp", "--resume", "auto")
    assert (without.code, without.err) == (
        2, "dlnotes: error: --resume: auto needs the folder of the run; add --out\n",
    )  # fmt: skip
    with stopped_after(3):
        assert dlnotes(*small_training(tmp_path / "run")).code == 143
    other = dlnotes(*small_training(tmp_path / "run", "--lr", 0.5), "--resume", "auto", "-q")
    assert other.code == 2
    assert "--lr: 0.5 differs from" in other.err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    full = dlnotes(*small_training(tmp_path / "full"), "--resume", "auto", "-q")
    assert (full.code, f"--out: {tmp_path / 'full'} is not empty" in full.err) == (2, True)
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / "config.json").write_text('{"command": "train-mlp"}')  # before the first checkpoint
    assert dlnotes(*small_training(killed), "--resume", "auto", "-q").code == 0


@pytest.mark.usefixtures("half_on_cpu")
def test_a_first_step_that_overflows_in_fp16_changes_nothing(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch.amp.GradScaler, "__init__", partialmethod(torch.amp.GradScaler.__init__, init_scale=2.0**40)
    )
    words = ("--precision", "fp16", "--optimizer", "nesterov", "--lr", 0.1, "--epochs", 3)
    outcome = dlnotes(*small_training(tmp_path / "run", *words))
    assert outcome.code == 0, outcome.err
    tensors, metadata = read_tensors(tmp_path / "run" / "last.safetensors")
    assert metadata["loss_scale"]["scale"] < 2.0**40  # steps were skipped
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
