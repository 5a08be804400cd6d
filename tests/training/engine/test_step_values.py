"""The host reads values from the device rarely, in every kind of run."""

from typing import Any

import numpy as np
import pytest
import torch
from builders import make_images
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dlnotes_cli import device
from dlnotes_cli.cli import main
from dlnotes_cli.training.engine.run import TrainingRun
from dlnotes_cli.training.engine.step_values import StepOutput, StepValues, UncountedPredictions, UnreadSteps, total

STEPS = 60
RUNS = {
    "mlp": "train-mlp --batch-size 16 --grad-clip 1 --ema 0.9 --dropout 0.2",
    "cnn": "train-cnn --layers Conv2d(1,2,3);ReLU;Flatten;Linear(72,10) --batch-size 16 --augment crop:1,mixup:0.2",
    "transfer": "transfer --data images --fine-tune all --backbone squeezenet1_1 --weights none --size 24 "
    "--batch-size 1",
    "char-rnn": "char-rnn train --hidden-size 8 --seq-len 16 --batch-size 4 --sample 0",
    "rmsprop": "train-mlp --hidden 8 --batch-size 16 --optimizer rmsprop",
    "adagrad": "train-mlp --hidden 8 --batch-size 16 --optimizer adagrad",
    "adadelta": "train-mlp --hidden 8 --batch-size 16 --optimizer adadelta",
    "fp16": "train-mlp --hidden 8 --batch-size 16 --precision fp16 --grad-clip 1",
    "fp16 rmsprop": "train-mlp --hidden 8 --batch-size 16 --precision fp16 --optimizer rmsprop",
}


class ReadCounter(TorchDispatchMode):
    """Counts the values of tensors that Python reads.

    PyTorch's fused optimizers on the CPU read their own step counters in C++, which no device has to compute first.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("kind", RUNS)
def test_at_most_one_value_is_read_in_20_steps(
    kind: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("run")
    monkeypatch.chdir(home)
    monkeypatch.setattr(device, "has_fp16", lambda _device: True)
    if kind == "transfer":
        make_images(home / "images", count=30)
    counters = []
    train = TrainingRun.train

    def counted_train(*arguments: Any) -> None:
        with ReadCounter() as counter:
            train(*arguments)
        counters.append(counter)

    monkeypatch.setattr(TrainingRun, "train", counted_train)
    assert main([*RUNS[kind].split(), "--max-steps", str(STEPS), "--threads", "1", "--out", "out", "-q"]) == 0
    validations = len((home / "out" / "metrics.jsonl").read_text().splitlines())
    assert counters[0].count <= STEPS / 20 + 4 * validations


def test_steps_are_read_in_order_and_once() -> None:
    unread = UnreadSteps()
    for step in range(1, 21):
        assert not unread.is_due
        output = StepOutput(torch.tensor(step / 2), torch.tensor(step * 3.0), torch.tensor(step), step + 10)
        unread.add(step, output, torch.tensor(0.5))
    assert unread.is_due
    assert unread.read() == [StepValues(i, i + 10, i / 2, i * 3.0, i, 0.5) for i in range(1, 21)]
    assert unread.read() == []
    unread.add(21, StepOutput(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3), 4), None)
    assert unread.read() == [StepValues(21, 4, 1.0, 2.0, 3, None)]


@pytest.mark.parametrize(
    ("objective", "norm", "expected"),
    [(1.0, None, None), (1.0, 2.0, None), (float("nan"), 2.0, "loss"), (float("inf"), None, "loss"),
     (1.0, float("inf"), "gradient")],
)  # fmt: skip
def test_what_is_not_finite(objective: float, norm: float | None, expected: str | None) -> None:
    assert StepValues(1, 1, objective, 1.0, 1, norm).not_finite == expected


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_correct_predictions_are_counted_for_each_step(sizes: list[int], seed: int) -> None:
    generator, unread, expected = np.random.default_rng(seed), UnreadSteps(), []
    for step, size in enumerate(sizes, start=1):
        logits, labels = generator.normal(size=(size, 3)), generator.integers(0, 3, size)
        expected.append(int((logits.argmax(1) == labels).sum()))
        predictions: Tensor | UncountedPredictions = UncountedPredictions(
            torch.from_numpy(logits), torch.from_numpy(labels)
        )
        if step == seed % 4:  # some are counted already
            predictions = StepOutput(torch.tensor(0.0), torch.tensor(0.0), predictions, size).correct_count
        unread.add(step, StepOutput(torch.tensor(0.5), torch.tensor(1.0), predictions, size), None)
    assert [values.correct for values in unread.read()] == expected


@pytest.mark.parametrize(("rows", "is_kept"), [(16, True), (17, False)])
def test_large_logits_are_not_kept(rows: int, is_kept: bool) -> None:
    predictions = UncountedPredictions(torch.randn(rows, 1024), torch.zeros(rows, dtype=torch.int64))
    assert isinstance(predictions.counted_if_large(), UncountedPredictions) == is_kept


def test_parts_of_a_batch_are_added_up() -> None:
    one = torch.tensor(1.0)
    parts = [
        StepOutput(one, 2 * one, UncountedPredictions(torch.eye(3), torch.tensor([0, 1, 0])), 3),
        StepOutput(one, 3 * one, torch.tensor(4), 5),
        StepOutput(one, one, UncountedPredictions(torch.eye(2), torch.tensor([1, 1])), 2).without_weight(),
    ]
    whole = total(parts)
    assert (float(whole.objective), float(whole.loss_sum), int(whole.correct_count), whole.samples) == (2, 5, 6, 8)
    assert int(parts[2].correct_count) == 0
