"""Training in fp16: scaled losses give the gradient of unscaled ones, and a step that overflows changes nothing."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from builders import Command, assert_same_run, stopped_after
from torch import Tensor, nn

from dlnotes_cli import device
from dlnotes_cli.training.engine.loss_scaling import LossScaling
from dlnotes_cli.training.optimizers import make_optimizer
from dlnotes_cli.training.recipes import OptimizerName, OptimizerSettings
from dlnotes_cli.training.tensor_file import read_tensors, write_tensors

OPTIMIZERS = get_args(OptimizerName)
HALF = "train-mlp --hidden 16 --batch-size 32 --precision fp16 --threads 1 -q"


class Steps:
    """Steps of a small network on fixed batches, with or without scaling."""

    def __init__(self, optimizer: OptimizerName, *, is_scaled: bool) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
        self.optimizer = make_optimizer(self.network, OptimizerSettings(optimizer, 0.05, 0.9, 0.01))
        self.scaling = LossScaling("cpu", self.optimizer) if is_scaled else None

    def run(self, step: int, *, factor: float = 1.0, clip: float | None = None) -> Tensor | None:
        """One step; a factor of inf overflows. Returns the norm of the gradient where it is clipped."""
        x = torch.randn(6, 5, generator=torch.Generator().manual_seed(step))
        objective = self.network(x).square().mean() * factor
        self.optimizer.zero_grad(set_to_none=True)
        (objective if self.scaling is None else self.scaling.scaled(objective)).backward()
        if self.scaling is not None:
            self.scaling.unscale()
        norm = None if clip is None else nn.utils.clip_grad_norm_(self.network.parameters(), clip)
        if self.scaling is None:
            self.optimizer.step()
        else:
            self.scaling.step()
        return norm

    @property
    def weights(self) -> list[Any]:
        return [parameter.tolist() for parameter in self.network.parameters()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_scaled_steps_are_the_steps_without_scaling_bit_for_bit(optimizer: OptimizerName) -> None:
    scaled, plain = Steps(optimizer, is_scaled=True), Steps(optimizer, is_scaled=False)
    for step in range(5):
        norms = [steps.run(step, clip=0.1 if step == 3 else None) for steps in (scaled, plain)]
        assert norms[0] == norms[1]
        assert scaled.weights == plain.weights


@pytest.mark.parametrize("skipped", [0, 2])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_that_overflows_is_as_if_it_had_not_been(optimizer: OptimizerName, skipped: int) -> None:
    scaled, plain = Steps(optimizer, is_scaled=True), Steps(optimizer, is_scaled=False)
    assert scaled.scaling is not None
    for step in range(5):
        if step == skipped:
            scaled.run(99, factor=math.inf, clip=1.0)
            assert scaled.scaling.state() == {"scale": 2.0**15, "good_steps": 0}
        for steps in (scaled, plain):
            steps.run(step)
        assert scaled.weights == plain.weights
    assert scaled.scaling.state() == {"scale": 2.0**15, "good_steps": 5 - skipped}


def test_the_scale_is_read_without_a_change() -> None:
    steps = Steps("sgd", is_scaled=True)
    steps.run(0)
    assert steps.scaling is not None
    assert float(steps.scaling.scale_of(torch.tensor(3.0))) == 2.0**16
    steps.run(1, factor=math.inf)
    assert float(steps.scaling.scale_of(torch.tensor(3.0))) == 2.0**15


@pytest.mark.parametrize("has_started", [False, True])
def test_a_stored_state_is_restored(*, has_started: bool) -> None:
    steps = Steps("sgd", is_scaled=True)
    assert steps.scaling is not None
    if has_started:
        steps.run(0)
    steps.scaling.restore({"scale": 8.0, "good_steps": 1998})
    assert steps.scaling.state() == {"scale": 8.0, "good_steps": 1998}
    steps.run(1)
    assert steps.scaling.state() == {"scale": 8.0, "good_steps": 1999}
    steps.run(2)
    assert steps.scaling.state() == {"scale": 16.0, "good_steps": 0}


@pytest.mark.parametrize(
    "stored",
    [{}, {"scale": 1.0}, {"scale": "x", "good_steps": 1}, {"scale": 0.0, "good_steps": 1}, None, 7,
     {"scale": math.inf, "good_steps": 1}, {"scale": 2.0, "good_steps": -1}],
)  # fmt: skip
def test_a_damaged_state_is_refused(stored: Any) -> None:
    scaling = Steps("sgd", is_scaled=True).scaling
    assert scaling is not None
    with pytest.raises((KeyError, TypeError, ValueError)):
        scaling.restore(stored)


@contextmanager
def fp16_on_the_cpu() -> Iterator[None]:
    """A CPU in the place of a CUDA device without bf16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "has_fp16", lambda _device: True)
        patch.setattr(device, "has_bf16", lambda _device: False)
        yield


@pytest.mark.usefixtures("blank_figures")
def test_a_run_in_fp16_is_resumed_with_its_scale(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflows = iter([False, True, True, *[False] * 500])  # of one run after the other
    scaled = LossScaling.scaled

    def overflowing(self: LossScaling, objective: Tensor) -> Tensor:
        factor = math.inf if objective.requires_grad and next(overflows) else 1.0
        return scaled(self, objective) * factor

    monkeypatch.setattr(LossScaling, "scaled", overflowing)
    words = [*HALF.split(), "--max-steps", 50, "--grad-clip", 1, "--ema", 0.9]
    with fp16_on_the_cpu():
        whole = dlnotes(*words, "--out", tmp_path / "whole", "--json")
        overflows = iter([False, True, True, *[False] * 500])
        with stopped_after(30):
            assert dlnotes(*words, "--out", tmp_path / "run").code == 143
        resumed = dlnotes("train-mlp", "--resume", tmp_path / "run", "-q")
    assert (whole.code, resumed.code) == (0, 0), whole.err + resumed.err
    assert json.loads(whole.out)["precision"] == "fp16"
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    scales = [read_tensors(tmp_path / name / "last.safetensors")[1]["loss_scale"] for name in ("whole", "run")]
    assert scales == [{"scale": 2.0**14, "good_steps": 47}] * 2


@pytest.mark.usefixtures("blank_figures")
def test_a_checkpoint_with_a_damaged_scale_is_refused(tmp_path: Path, dlnotes: Command) -> None:
    with fp16_on_the_cpu():
        with stopped_after(3):
            assert dlnotes(*HALF.split(), "--max-steps", 6, "--out", tmp_path / "run").code == 143
        path = tmp_path / "run" / "last.safetensors"
        tensors, metadata = read_tensors(path)
        write_tensors(path, tensors, dict(metadata) | {"loss_scale": {"scale": -1.0, "good_steps": 3}})
        outcome = dlnotes("train-mlp", "--resume", tmp_path / "run", "-q")
    assert outcome.code == 2
    assert "last.safetensors: is not a checkpoint of this run" in outcome.err


@pytest.mark.usefixtures("blank_figures")
def test_a_gradient_that_overflows_at_every_scale_ends_the_run(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled = LossScaling.scaled
    monkeypatch.setattr(LossScaling, "scaled", lambda self, x: scaled(self, x) * (math.inf if x.requires_grad else 1.0))
    with fp16_on_the_cpu():
        outcome = dlnotes(*HALF.split(), "--max-steps", 50, "--out", tmp_path / "run")
    assert outcome.code == 3
    assert (
        "--lr: the gradient is not finite at step 17 (--lr 0.003); use a lower --lr, or --precision fp32" in outcome.err
    )
