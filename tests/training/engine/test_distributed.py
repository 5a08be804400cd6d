"""Several processes take the steps that one process would take, and end together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import Command, Outcome, make_table, stopped_after
from safetensors.numpy import load_file
from torch import nn

from dlnotes_cli.data.batches import Split
from dlnotes_cli.device import check_devices, choose_runtime
from dlnotes_cli.shell.errors import ExitCode, InputError, UnfinishedError
from dlnotes_cli.training.engine import distributed, launch
from dlnotes_cli.training.engine.distributed import ALONE, Place, Processes
from dlnotes_cli.training.engine.launch import Workers, check_batch_size
from dlnotes_cli.training.engine.loop import Trainer
from dlnotes_cli.training.evaluation import evaluate
from dlnotes_cli.training.history import LoopEntry
from dlnotes_cli.training.tensor_file import read_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")

STEPS = 50
MLP = (
    "train-mlp --data rows.csv --target label --no-batch-norm --dropout 0 --hidden 8 --batch-size 7 "
    "--class-weights balanced --l1 0.01 --label-smoothing 0.1 --ema 0.9 --grad-clip 0.05 --accumulate 2"
)
PLAIN_MLP = "train-mlp --data rows.csv --target label --no-batch-norm --dropout 0 --hidden 8 --batch-size 7"
CHAR_RNN = "char-rnn train --hidden-size 8 --seq-len 12 --batch-size 5 --dropout 0 --sample 0"
CNN = "train-cnn --layers Conv2d(1,2,3);ReLU;Flatten;Linear(72,10) --batch-size 9 --augment crop:1,cutmix:0.4"


def train(dlnotes: Command, command: str, out: Path, *more: object, steps: int = STEPS) -> Outcome:
    """Train for some steps into `out`."""
    words = ("--max-steps", steps, "--threads", 1, "--precision", "fp32", "--out", out, "-q", *more)
    return dlnotes(*command.split(), *words)


def model_of(run: Path) -> dict[str, np.ndarray[Any, Any]]:
    return load_file(run / "model.safetensors")


def assert_same_training(one: Path, other: Path) -> None:
    """Assert that two runs have the same weights within 1e-5, and the same metrics."""
    expected, found = model_of(one), model_of(other)
    for name, tensor in expected.items():
        np.testing.assert_allclose(found[name], tensor, atol=1e-5, err_msg=name)
    results = [json.loads((run / "result.json").read_text()) for run in (one, other)]
    for split in ("train", "validation", "test"):
        for metric in ("loss", "accuracy", "samples"):
            values = [(result[split] or {}).get(metric) for result in results]
            assert values[1] == pytest.approx(values[0], abs=1e-5), (split, metric)


@pytest.mark.parametrize(
    ("command", "count"),
    [
        pytest.param(MLP, 2, id="mlp"),
        pytest.param(PLAIN_MLP, 2, id="mlp, gradients neither clipped nor accumulated"),
        pytest.param(f"{PLAIN_MLP} --optimizer sgd --momentum 0", 2, id="mlp, whose backward pass updates the weights"),
        pytest.param(MLP, 3, id="mlp in 3", marks=pytest.mark.slow),
        pytest.param(CHAR_RNN, 3, id="char-rnn in 3", marks=pytest.mark.slow),
        pytest.param(CNN, 2, id="cnn", marks=pytest.mark.slow),
        pytest.param(CNN, 3, id="cnn in 3", marks=pytest.mark.slow),
    ],
)
def test_fifty_steps_of_several_processes_are_those_of_one(
    command: str, count: int, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_table(tmp_path / "rows.csv")
    assert train(dlnotes, command, tmp_path / "one").code == 0
    outcome = train(dlnotes, command, tmp_path / "several", "--devices", count)
    assert (outcome.code, outcome.err) == (0, "")
    assert_same_training(tmp_path / "one", tmp_path / "several")


@pytest.mark.parametrize(
    ("command", "first", "then"),
    [
        pytest.param(CHAR_RNN, 2, 1, id="char-rnn, 2 then 1"),
        pytest.param(CHAR_RNN, 1, 2, id="char-rnn, 1 then 2"),
        pytest.param(MLP, 2, 1, id="mlp, 2 then 1", marks=pytest.mark.slow),
        pytest.param(CHAR_RNN, 3, 2, id="char-rnn, 3 then 2", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_resumes_in_another_number_of_processes(
    command: str, first: int, then: int, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_table(tmp_path / "rows.csv")
    assert train(dlnotes, command, tmp_path / "whole").code == 0
    with stopped_after(20):
        stopped = train(dlnotes, command, tmp_path / "run", "--devices", first)
    assert stopped.code == 143
    assert f"; continue with --resume {tmp_path / 'run'}" in stopped.err
    assert read_tensors(tmp_path / "run" / "last.safetensors")[1]["position"]["step"] in {20, 21}
    *group, name = command.split(" --", maxsplit=1)[0].split()
    resumed = dlnotes(*group, name, "--resume", tmp_path / "run", "--devices", then, "-q")
    assert (resumed.code, resumed.err) == (0, "")
    assert_same_training(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
def test_a_run_with_dropout_resumes_exactly_in_the_same_number_of_processes(tmp_path: Path, dlnotes: Command) -> None:
    command = "train-mlp --hidden 8 --dropout 0.5 --batch-size 300 --init-seed 3 --devices 2"
    assert train(dlnotes, command, tmp_path / "whole", steps=6).code == 0
    with stopped_after(3):
        assert train(dlnotes, command, tmp_path / "run", steps=6).code == 143
    assert dlnotes("train-mlp", "--resume", tmp_path / "run", "-q").code == 0
    whole, resumed = (read_tensors(tmp_path / name / "last.safetensors")[0] for name in ("whole", "run"))
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name


def test_a_killed_process_ends_all_within_seconds_and_the_run_can_be_resumed(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Workers] = []
    killed_at = 0.0
    start, advance = Workers.__init__, Trainer.advance

    def start_and_keep(workers: Workers, *arguments: Any) -> None:
        start(workers, *arguments)
        started.append(workers)

    def advance_and_kill(trainer: Trainer) -> LoopEntry | None:
        nonlocal killed_at
        entry = advance(trainer)
        if trainer.state.step == 4 and not killed_at:
            killed_at = time.monotonic()
            os.kill(started[0]._processes[0].pid, signal.SIGKILL)
        return entry

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Workers, "__init__", start_and_keep)
        patch.setattr(Trainer, "advance", advance_and_kill)
        outcome = train(dlnotes, "train-mlp --hidden 8", run, "--devices", 2)
    assert outcome.code == 3
    expected = f"--devices: process 1 was killed by SIGKILL; continue with --resume {run}"
    assert outcome.err == f"dlnotes: error: {expected}\n"
    assert started[0]._processes[0].returncode == -signal.SIGKILL
    assert time.monotonic() - killed_at < 10
    assert dlnotes("train-mlp", "--resume", run, "-q").code == 0
    assert json.loads((run / "result.json").read_text())["steps"] == STEPS


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def place_in_environment(rank: int, port: int) -> dict[str, str]:
    """The variables that torchrun sets for one of two processes."""
    values = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    return {name: str(value) for name, value in values.items()} | {
        "MASTER_ADDR": "127.0.0.1",
        "GLOO_SOCKET_IFNAME": launch._LOOPBACK,
    }


def test_processes_with_other_options_are_refused(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, port = ["train-mlp", "--hidden", "8", "--max-steps", "1", "-q"], free_port()
    for name, value in place_in_environment(0, port).items():
        monkeypatch.setenv(name, value)
    other = subprocess.Popen(
        [sys.executable, "-m", "dlnotes_cli", *words, "--lr", "0.5", "--out", str(tmp_path / "other")],
        env=os.environ | place_in_environment(1, port) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    outcome = dlnotes(*words, "--out", tmp_path / "run")
    out, err = other.communicate(timeout=60)
    line = "dlnotes: error: processes: process 1 has other options than process 0; start all with the same command line"
    assert (outcome.code, outcome.err) == (2, f"{line}\n")
    assert (other.returncode, out, err) == (2, "", f"{line}\n")
    assert not list(tmp_path.iterdir())


def test_a_rendezvous_that_never_comes_ends_in_one_line(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "RENDEZVOUS_S", 1.0)
    port = free_port()
    for name, value in place_in_environment(0, port).items():
        monkeypatch.setenv(name, value)
    outcome = dlnotes("train-mlp", "--out", tmp_path / "run")
    assert outcome.code == 3
    assert outcome.err.startswith(f"dlnotes: error: processes: no rendezvous at 127.0.0.1:{port} within 1 s; start ")
    assert outcome.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


class Pretended(Processes):
    """One of several processes that do not exist: what it sums stays as it is."""

    def __init__(self, rank: int, count: int) -> None:
        self.place = Place(rank, count, rank, count)


@pytest.mark.parametrize("samples", [1, 63, 64, 200])
def test_an_evaluation_in_shares_is_exactly_that_of_one_process(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlnotes_cli.training.evaluation.inference_batch_size", lambda _: 32)
    generator = torch.Generator().manual_seed(samples)
    split = Split(
        torch.randn(300, 5, generator=generator),
        torch.randint(0, 4, (300,), generator=generator),
        torch.randperm(300, generator=generator)[:samples],
    )
    network, runtime = nn.Linear(5, 4), choose_runtime("cpu", "fp32", 1, bf16_pays=False)
    expected = evaluate(network, split, nn.Identity(), runtime, classes=4, top=(2,), keep_predictions=True)
    sums: list[list[torch.Tensor]] = []

    class Recorded(Pretended):
        def sum(self, tensor: torch.Tensor) -> torch.Tensor:
            sums[-1].append(tensor.clone())
            return tensor

    class Replayed(Pretended):
        def sum(self, tensor: torch.Tensor) -> torch.Tensor:
            return tensor.copy_(totals.pop(0))

    for rank in range(3):
        sums.append([])
        evaluate(
            network,
            split,
            nn.Identity(),
            runtime,
            classes=4,
            top=(2,),
            keep_predictions=True,
            processes=Recorded(rank, 3),
        )
    totals = [torch.stack(parts).sum(0) for parts in zip(*sums, strict=True)]
    found = evaluate(
        network, split, nn.Identity(), runtime, classes=4, top=(2,), keep_predictions=True, processes=Replayed(1, 3)
    )
    assert (found.loss, found.within_top) == (expected.loss, expected.within_top)
    assert found.confusion.tolist() == expected.confusion.tolist()
    assert found.predictions is not None
    assert expected.predictions is not None
    for name in ("labels", "predicted", "probabilities"):
        np.testing.assert_array_equal(getattr(found.predictions, name), getattr(expected.predictions, name))


def test_a_batch_smaller_than_the_number_of_processes_is_refused() -> None:
    check_batch_size(ALONE, 1)
    check_batch_size(Pretended(0, 3), 3)
    with pytest.raises(InputError, match=r"--batch-size: a batch of 2 is smaller than the number of processes, 3; use"):
        check_batch_size(Pretended(0, 3), 2)


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
    ("words", "message"),
    [
        (("transfer", "--weights", "none", "--devices", 2), "--devices: has no effect on a frozen backbone"),
        (("char-rnn", "train", "-", "--devices", 2), "--devices: only one process can read standard input; save"),
        (("train-mlp", "--devices", 0), "--devices: 0 is out of range; give a value of at least 1"),
    ],
)
def test_processes_that_could_not_work_are_refused(
    words: tuple[object, ...], message: str, tmp_path: Path, dlnotes: Command
) -> None:
    outcome = dlnotes(*words, "--out", tmp_path / "run")
    assert outcome.code == 2
    assert message in outcome.err


def test_a_wrong_place_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in place_in_environment(0, 1).items():
        monkeypatch.setenv(name, value)
    assert Place.from_environment() == Place(0, 2, 0, 2)
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(InputError, match=r"\$RANK: 2 is not below WORLD_SIZE 2; start"):
        Place.from_environment()
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(InputError, match=r"\$RANK: 'first' is not a number; start"):
        Place.from_environment()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert Place.from_environment() is None


def test_the_error_of_another_process_names_the_process() -> None:
    report = json.dumps({"error": ["memory", "not enough", "use less"]})
    found = launch._reported(2, ExitCode.UNFINISHED, report, "continue")
    assert (type(found), str(found)) == (UnfinishedError, "memory: not enough (process 2); use less")
    found = launch._reported(2, ExitCode.BAD_INPUT, report, "continue")
    assert (type(found), str(found)) == (InputError, "memory: not enough (process 2); use less")
    found = launch._reported(1, ExitCode.BUG, "", "continue with --resume run")
    assert str(found) == "--devices: process 1 failed with exit code 1; continue with --resume run"


@pytest.mark.slow
def test_a_cnn_with_batch_norm_reaches_the_same_accuracy(tmp_path: Path, dlnotes: Command) -> None:
    words = ("train-cnn", "--epochs", 4, "--threads", 2, "--json")
    one = json.loads(dlnotes(*words, "--out", tmp_path / "one").out)
    outcome = dlnotes(*words, "--out", tmp_path / "two", "--devices", 2)
    two = json.loads(outcome.out)
    assert "note: batch normalization uses the statistics of the share of each process" in outcome.err
    assert two["test"]["accuracy"] == pytest.approx(one["test"]["accuracy"], abs=0.02)
