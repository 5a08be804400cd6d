"""Several processes, or parts of a batch, take the steps that one would take, and processes end together."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import Command, assert_same_run, make_images, make_table
from safetensors.numpy import load_file

from dlnotes_cli.device import check_devices
from dlnotes_cli.shell.errors import InputError, SeveralProcessesError, UnfinishedError
from dlnotes_cli.training.distributed import ALONE, Processes, process_group
from dlnotes_cli.training.tensor_file import read_tensors

STEPS = 50
MLP = (
    "train-mlp --data rows.csv --target label --no-batch-norm --dropout 0 --hidden 8 --batch-size 7 "
    "--class-weights balanced --l1 0.01 --label-smoothing 0.1 --ema 0.9 --grad-clip 0.05 --accumulate 2"
)
CHAR_RNN = "char-rnn train --hidden-size 8 --seq-len 12 --batch-size 5 --dropout 0 --sample 0"
CNN = "train-cnn --layers Conv2d(1,2,3);ReLU;Flatten;Linear(72,10) --batch-size 9 --augment crop:1,cutmix:0.4"
TEXT = (
    "train-text --recipe notes --model rnn --max-length 20 --limit 200 --hidden-size 8 --embed 8 --dropout 0 "
    "--head-dropout 0 --batch-size 9"
)
SERIES = "series train --data sine --hidden-size 8 --batch-size 9"
CARRIED_SERIES = (
    "series train --data sine --recipe notes --cell lstm --hidden-size 8 --window 7 --batch-size 5 --epochs 50"
)
FINE_TUNING = (
    "transfer --data images --backbone small --weights default --size 32 --fine-tune last-2 --recipe notes "
    "--batch-size 5 --epochs 50"
)
COMMANDS = {
    "mlp": MLP, "char-rnn": CHAR_RNN, "cnn": CNN, "text": TEXT, "series": SERIES, "carried series": CARRIED_SERIES,
    "fine-tuning": FINE_TUNING,
}  # fmt: skip


def program(command: str, out: Path, *more: object, steps: int = STEPS) -> list[str]:
    """The command line of a run of some steps into `out`."""
    words = ("--max-steps", steps, "--threads", 1, "--precision", "fp32", "--device", "cpu", "--out", out, "-q", *more)
    return [sys.executable, "-m", "dlnotes_cli", *command.split(), *map(str, words)]


def run(words: list[str]) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join(filter(None, sys.path))  # with which processes find the package, and what `site` writes
    return subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path})


def assert_same_training(one: Path, other: Path) -> None:
    """Assert that two runs have the same weights and metrics within 1e-4."""
    expected, found = (load_file(run / "model.safetensors") for run in (one, other))
    for name in (name for name in expected if not name.startswith("similarity.")):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4, err_msg=name)
    results = [json.loads((run / "result.json").read_text()) for run in (one, other)]
    assert [result["steps"] for result in results] == [STEPS, STEPS]
    for split in ("train", "validation", "test"):
        for metric in ("loss", "accuracy", "samples"):
            values = [(result[split] or {}).get(metric) for result in results]
            assert values[1] == pytest.approx(values[0], abs=1e-4), (split, metric)


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("mlp", 2),
        *(pytest.param(kind, 2, marks=pytest.mark.slow) for kind in COMMANDS if kind != "mlp"),
        *(pytest.param(kind, 3, marks=pytest.mark.slow) for kind in ("mlp", "char-rnn", "cnn", "text")),
    ],
)
def test_fifty_steps_of_several_processes_are_those_of_one(
    kind: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_table(tmp_path / "rows.csv")
    make_images(tmp_path / "images", count=12)
    one = run(program(COMMANDS[kind], tmp_path / "one"))
    assert one.returncode == 0, one.stderr
    several = run(program(COMMANDS[kind], tmp_path / "several", "--devices", count))
    assert (several.returncode, several.stderr) == (0, "")
    assert several.stdout.count("model.safetensors") == 1
    assert_same_training(tmp_path / "one", tmp_path / "several")


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("kind", ["mlp", "cnn", "char-rnn"])
def test_fifty_steps_in_parts_are_those_on_whole_batches(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dlnotes: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    make_table(tmp_path / "rows.csv")
    for parts in (1, 3, 100):  # of 100 parts, each has one sample
        outcome = dlnotes(*program(COMMANDS[kind], tmp_path / str(parts), "--accumulate", parts)[3:])
        assert outcome.code == 0, outcome.err
    for parts in (3, 100):
        assert_same_training(tmp_path / "1", tmp_path / str(parts))


# Checkpoints after every step, and an action before step 5, in one process of the first start alone.
SITE = """
import os, signal, time
from pathlib import Path
from types import SimpleNamespace
from dlnotes_cli.training import fit
from dlnotes_cli.training.checkpoint import RunFiles

RANK, HERE = os.environ.get("RANK", "0"), Path(__file__).parent
take_step, train = fit.TrainingRun._step, fit.TrainingRun.train

def stop_all(run):  # the launcher sends the signal to all processes
    os.kill(os.getppid() if "RANK" in os.environ else os.getpid(), signal.SIGTERM)
    while run._stop.requested is None:
        time.sleep(0.01)

def step_after_action(run, *arguments):
    if run.progress.step == 4:
        (HERE / f"pid-{RANK}").write_text(str(os.getpid()))
    if run.progress.step == 5 and RANK == AT_RANK and not (HERE / "done").exists():
        (HERE / "done").touch()
        act(run)
    take_step(run, *arguments)

RunFiles.is_save_due = property(lambda files: RANK == "0")
fit.TrainingRun._step = step_after_action
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
STOP = "os.kill(os.getpid(), signal.SIGTERM)"
STOP_ALL = "stop_all(run)"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Have programs that this test starts save a checkpoint after every step, and execute `act` once, before step 5.

    The function that is returned writes their sitecustomize.py, and returns its folder.
    """

    def write(act: str, rank: int = 0, more: str = "") -> Path:
        folder = tmp_path / "site"
        folder.mkdir()
        lines = f"{SITE}\nAT_RANK = '{rank}'\nact = lambda run: {act}\n{more}"
        (folder / "sitecustomize.py").write_text(lines)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    return write


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


PLAIN = "train-mlp --hidden 8 --dropout 0 --no-batch-norm"


@pytest.mark.parametrize("which", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_killed_process_ends_all_and_the_run_can_be_resumed(
    which: int, tmp_path: Path, site: Callable[..., Path]
) -> None:
    folder, home = tmp_path / "run", site(KILL, which)
    killed = run(program(PLAIN, folder, "--devices", 2))
    assert killed.returncode == 3
    assert killed.stderr.count("\n") == 1
    assert "continue with --resume" in killed.stderr
    pids = [int((home / f"pid-{rank}").read_text()) for rank in range(2)]
    assert not any(is_running(pid) for pid in pids)
    assert 0 < read_tensors(folder / "last.safetensors")[1]["position"]["step"] <= 5
    resumed = run(program(PLAIN, folder, "--resume", "auto"))
    assert resumed.returncode == 0, resumed.stderr
    whole = run(program(PLAIN, tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    assert_same_training(tmp_path / "whole", folder)


DROPOUT = "train-mlp --hidden 16 --dropout 0.3 --batch-norm"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "then", "command", "act"),
    [(2, 1, CHAR_RNN, STOP_ALL), (1, 2, CHAR_RNN, STOP_ALL), (2, 3, MLP, STOP_ALL), (2, 2, DROPOUT, STOP)],
)
def test_a_stopped_run_resumes_in_any_number_of_processes_and_in_the_same_number_exactly(
    first: int, then: int, command: str, act: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    site: Callable[..., Path],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    make_table(tmp_path / "rows.csv")
    whole = ("--devices", first) if first == then else ()
    assert run(program(command, tmp_path / "whole", *whole)).returncode == 0
    folder = tmp_path / "run"
    site(act, 1 if act == STOP else 0)
    stopped = run(program(command, folder, "--devices", first))
    assert stopped.returncode == 143
    assert re.fullmatch(rf"dlnotes: error: terminated: saved .*; continue with --resume {folder}\n", stopped.stderr)
    assert read_tensors(folder / "last.safetensors")[1]["position"]["step"] == 6
    resumed = run(program(command, folder, "--resume", folder, "--devices", then))
    assert (resumed.returncode, resumed.stderr) == (0, "")
    (assert_same_run if first == then else assert_same_training)(tmp_path / "whole", folder)


# A clock that each process reads at another pace, so that each by itself would end at another step.
CLOCK = """
from itertools import count
clock = count(0.0, 0.001 * (1 + 2 * int(RANK)))
fit.time = SimpleNamespace(monotonic=lambda: next(clock))

def train_and_count(run, *arguments):
    train(run, *arguments)
    (HERE / f"steps-{RANK}").write_text(str(run.progress.step))

fit.TrainingRun.train = train_and_count
"""


@pytest.mark.slow
def test_a_time_budget_ends_all_processes_at_the_same_step(tmp_path: Path, site: Callable[..., Path]) -> None:
    home = site("None", more=CLOCK)
    words = program("train-mlp --hidden 8 --devices 2 --time-budget 1s", tmp_path / "run")
    first = words.index("--max-steps")
    del words[first : first + 2]
    done = run(words)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["steps"] > 50
    assert result["timing"]["train_s"] < 1
    assert [int((home / f"steps-{rank}").read_text()) for rank in range(2)] == [result["steps"]] * 2


def test_an_error_of_several_processes_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = run(program("train-mlp", tmp_path, "--devices", 2))
    assert outcome.returncode == 2
    assert outcome.stderr == f"dlnotes: error: --out: {tmp_path} is not empty; pass --overwrite or another --out\n"


def test_more_gpus_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_devices("cuda", 2)
    check_devices("cpu", 999)
    with pytest.raises(InputError, match=r"--devices: 3 GPUs are more than the 2 of this machine; use --devices 2, or"):
        check_devices("auto", 3)
    with pytest.raises(InputError, match=r"--device: cuda:1 is one GPU, but there are 2 processes; use --device cuda"):
        check_devices("cuda:1", 2)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((1, 4, 1, 2), Processes(1, 4, 1, 2)),
        ((1, 2), Processes(1, 2, 1, 2)),  # other launchers than torchrun set no local numbers
        ((0, 1, 0, 1), ALONE),
        ((2, 2, 0, 2), r"\$RANK: 2 is not below the number of processes, 2; start"),
        ((1, 2, 7, 2), r"\$LOCAL_RANK: 7 is not below"),
        (("first", 2, 1, 2), r"\$RANK: first, 2, 1, 2 are not numbers of processes; start"),
    ],
)
def test_the_place_in_the_environment(
    place: tuple[object, ...], expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"), place, strict=False):
        monkeypatch.setenv(name, str(value))
    if not isinstance(expected, str):
        assert Processes.from_environment() == expected
        return
    with pytest.raises(InputError, match=expected):
        Processes.from_environment()


def test_processes_with_other_options_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Processes, "gather", lambda _, value: [value, value | {"lr": 0.5}])
    message = "processes: process 1 has other options than process 0; start all with the same"
    with pytest.raises(InputError, match=message):
        Processes(0, 2, 0, 2).check_same("options", {"lr": 0.1}, "start all with the same command line")


def test_the_failure_of_a_process_is_told_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = (UnfinishedError, "processes", "KeyError: 'x'", "start again")
    monkeypatch.setattr(Processes, "gather", lambda _, value: [value, failure])
    with pytest.raises(UnfinishedError, match=r"processes: KeyError: 'x' \(process 1\); start again"):
        Processes(0, 2, 0, 2).main_first(lambda: None)
    monkeypatch.setattr(Processes, "gather", lambda _, value: [None, value])
    with pytest.raises(KeyError):  # a fault of the program keeps its traceback where it is
        Processes(1, 2, 1, 2).main_first(dict[str, int]().popitem)


def test_a_script_that_asks_for_processes_is_told_to_use_torchrun(tmp_path: Path) -> None:
    from dlnotes_cli.api import TrainMlpConfig, train_mlp

    config = TrainMlpConfig(out=tmp_path / "run", devices=2, device="cpu")
    with pytest.raises(InputError, match="--devices: starts processes of dlnotes only; run the program under torchrun"):
        train_mlp(config)
    with pytest.raises(SeveralProcessesError), process_group(config):
        pass
