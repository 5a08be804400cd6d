"""Several processes evaluate and predict what one does, to the last bit, and end together."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import Command, make_table

from dlnotes_cli.classify import predict
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.training.engine.distributed import Place, Processes
from dlnotes_cli.training.engine.launch import Workers
from dlnotes_cli.training.inference.onnx_classifier import OnnxRuntimeClassifier
from dlnotes_cli.training.model_data import ChosenSplit

ONE_THREAD = ("--threads", 1, "--precision", "fp32", "--device", "cpu")


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process may be started."""

    def refuse(*_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(Workers, "__init__", refuse)


@pytest.mark.usefixtures("blank_figures")
def test_two_processes_evaluate_as_one(digits_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    words = ("evaluate", digits_run, "--split", "all", "--top-k", "2,5", *ONE_THREAD)
    one, two = (
        dlnotes(*words, "--devices", count, "--json", "--out", tmp_path / "plots", "--overwrite") for count in (1, 2)
    )
    assert json.loads(one.out)["samples"] == 1797  # two batches
    assert (two.code, two.out) == (0, one.out)


def test_two_processes_predict_as_one_and_skip_what_is_damaged(
    images_run: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "_CHUNK", 5)
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    files = sorted((images_run.parent / "images").rglob("*.png"))
    words = ("predict", images_run, *files[:7], damaged, *files[7:], "--jsonl", "--skip-bad", *ONE_THREAD)
    one, two = (dlnotes(*words, "--devices", count) for count in (1, 2))
    assert len(one.out.splitlines()) == len(files) + 1
    assert (two.code, two.out) == (0, one.out)
    assert f"skipped {damaged}" in two.err


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_an_onnx_file_answers_the_same_in_several_processes(
    count: int, table_run: Path, tmp_path: Path, dlnotes: Command
) -> None:
    model, rows = tmp_path / "rows.onnx", make_table(tmp_path / "rows.csv", rows=2500)
    assert dlnotes("export", table_run, "--out", model).code == 0
    evaluate = ("evaluate", model, "--data", rows, "--split", "all", "--json", *ONE_THREAD)
    tables = [make_table(tmp_path / f"{seed}.csv", rows=9, seed=seed) for seed in range(7)]
    for words in (evaluate, ("predict", model, *tables, "--csv", "-", *ONE_THREAD)):
        one, several = dlnotes(*words), dlnotes(*words, "--devices", count)
        assert (several.code, several.out) == (0, one.out)


def test_an_unreadable_file_is_the_same_error_after_the_same_lines(
    images_run: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "_CHUNK", 2)
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    files = sorted((images_run.parent / "images").rglob("*.png"))[:9]
    words = ("predict", images_run, *files[:7], damaged, *files[7:], "--jsonl", *ONE_THREAD)
    one, two = (dlnotes(*words, "--devices", count) for count in (1, 2))
    assert len(one.out.splitlines()) == 6
    assert (two.code, two.out, two.err) == (2, one.out, one.err)


def test_a_killed_process_ends_all_within_seconds(
    images_run: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Workers] = []
    start, answer = Workers.__init__, predict.Predictor._answer

    def start_and_keep(workers: Workers, *arguments: Any) -> None:
        start(workers, *arguments)
        started.append(workers)

    killed_at = 0.0

    def answer_and_kill(predictor: predict.Predictor, paths: list[Path]) -> Any:
        nonlocal killed_at
        if not killed_at:
            killed_at = time.monotonic()
            os.kill(started[0]._processes[0].pid, signal.SIGKILL)
        return answer(predictor, paths)

    monkeypatch.setattr(predict, "_CHUNK", 2)
    monkeypatch.setattr(Workers, "__init__", start_and_keep)
    monkeypatch.setattr(predict.Predictor, "_answer", answer_and_kill)
    outcome = dlnotes("predict", images_run, images_run.parent / "images", "--devices", 2, *ONE_THREAD)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == "dlnotes: error: --devices: process 1 was killed by SIGKILL; run again\n"
    assert started[0]._processes[0].returncode == -signal.SIGKILL
    assert time.monotonic() - killed_at < 10


@pytest.mark.usefixtures("no_processes")
def test_one_process_does_what_is_too_little_for_several(digits_run: Path, images_run: Path, dlnotes: Command) -> None:
    assert dlnotes("evaluate", digits_run, "--device", "cpu", "--devices", 2).code == 0  # one batch
    files = sorted((images_run.parent / "images").rglob("*.png"))
    assert dlnotes("predict", images_run, *files[:2], "--device", "cpu", "--devices", 2).code == 0
    assert json.loads(dlnotes("evaluate", digits_run, "--threads", 2, "--devices", 2, "--json").out)["threads"] == 1


@pytest.mark.usefixtures("no_processes")
def test_devices_that_cannot_work_are_refused(
    images_run: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = dlnotes("predict", images_run, "-", "--device", "cpu", "--devices", 2)
    assert (outcome.code, outcome.out) == (2, "")
    assert "--devices: only one process can read standard input; save the image as a file" in outcome.err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for command in (("evaluate", images_run), ("predict", images_run, images_run.parent / "images")):
        outcome = dlnotes(*command, "--devices", 3)
        assert (outcome.code, outcome.out) == (2, "")
        assert "--devices: 3 GPUs are more than the 2 of this machine; use --devices 2" in outcome.err


@pytest.mark.parametrize("samples", [1, 63, 64, 200])
def test_an_onnx_evaluation_in_shares_is_exactly_that_of_one_process(
    samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlnotes_cli.training.inference.onnx_classifier.inference_batch_size", lambda _: 32)
    generator = np.random.default_rng(samples)
    weights = generator.normal(size=(4, 4))

    def probabilities(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        powers = np.exp(images.reshape(len(images), -1) @ weights)
        return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)

    shape = ImagePreprocessing(1, 2, 2, "crop", (0.0,), (1.0,))
    classifier = OnnxRuntimeClassifier(
        path=Path("model.onnx"), classes=tuple("abcd"), preprocessing=shape, metadata={},
        runtime=RuntimeInfo("cpu", "fp32", 1), run=probabilities,
    )  # fmt: skip
    images, labels = generator.normal(size=(300, 1, 2, 2)), generator.integers(0, 4, 300)
    split = ChosenSplit("all", generator.permutation(300)[:samples])
    dataset = DataSet("set", images, labels, classifier.classes, {"all": split.indices}, shape, "")

    def evaluated(processes: Processes) -> Any:
        return classifier.evaluate(dataset, split, (2,), lambda: None, keep_predictions=True, processes=processes)

    class Recorded(Processes):
        def __init__(self, rank: int) -> None:
            self.place, self.seen = Place(rank, 3, rank, 3), list[torch.Tensor]()

        def sum(self, tensor: torch.Tensor) -> torch.Tensor:
            self.seen.append(tensor.clone())
            return tensor

    class Replayed(Recorded):
        def sum(self, tensor: torch.Tensor) -> torch.Tensor:
            return tensor.copy_(totals.pop(0))

    shares = [Recorded(rank) for rank in range(3)]
    for share in shares:
        evaluated(share)
    totals = [torch.stack(parts).sum(0) for parts in zip(*(share.seen for share in shares), strict=True)]
    expected, found = evaluated(Processes()), evaluated(Replayed(1))
    assert (found.loss, found.within_top) == (expected.loss, expected.within_top)
    assert found.confusion.tolist() == expected.confusion.tolist()
    for name in ("labels", "predicted", "probabilities"):
        np.testing.assert_array_equal(getattr(found.predictions, name), getattr(expected.predictions, name))
