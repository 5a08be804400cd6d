"""The loop of `fit` on a small task with scripted validation losses."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import Command, small_training
from torch import nn

from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.classify.recipes import MLP_NOTES
from dlnotes_cli.data.preprocessing import Column, TablePreprocessing
from dlnotes_cli.networks.mlp import MlpConfig
from dlnotes_cli.shell.errors import UnfinishedError
from dlnotes_cli.training.checkpoint import RunFiles
from dlnotes_cli.training.fit import fit
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.results import DataSummary, TrainingResult
from dlnotes_cli.training.task import Batch, Evaluated, Model, StepLoss, Task
from dlnotes_cli.training.tensor_file import read_tensors


class ScriptedTask(Task[TrainingResult]):
    """A task of three steps per epoch with scripted validation losses."""

    model_name, result_type, memory_options = "mlp", TrainingResult, ""
    data, training_samples, validation_samples, steps_per_epoch = DataSummary("script", "0"), 12, 10, 3
    network_config, preprocessing = MlpConfig(1, 1, ()), TablePreprocessing("y", (Column("x"),))

    def __init__(
        self, out: Path, losses: list[float], *, lr: float = 0.01, grad_clip: float = 0.0, **options: Any
    ) -> None:
        values: dict[str, Any] = {"epochs": 2, "threads": 1, "device": "cpu"} | options
        config = TrainMlpConfig(out=out, **values)
        super().__init__(config, replace(MLP_NOTES, lr=lr, grad_clip=grad_clip))
        self._losses = iter(losses)
        self.started: list[int] = []
        self.before_step: Callable[[int], None] = lambda _: None
        self.steps = 0

    def load(self) -> None:
        """Nothing to load."""

    def sample_inputs(self, network: nn.Module) -> tuple[Any, ...]:  # noqa: ARG002  # the signature of the base
        return (torch.empty(1, 1, device="meta"),)

    def prepare(self, batch_size: int) -> None:
        """Nothing to prepare."""

    def start_epoch(self, epoch: int, epochs: int | None) -> None:  # noqa: ARG002  # as above
        self.started.append(epoch)

    def batch(self, index: int) -> Batch:
        return Batch([index], 4)

    def loss(self, model: Model, share: int) -> StepLoss:
        self.steps += 1
        self.before_step(self.steps)
        objective = model(torch.ones(4, 1)).square().mean()
        return StepLoss(objective, torch.tensor(2.0 * (share + 1)), torch.tensor(share))

    def validate(self, poll: Callable[[], None]) -> Metrics:
        poll()
        return Metrics(loss=next(self._losses), accuracy=0.5, samples=10)

    def finish(self, *_: Any) -> Evaluated:
        return Evaluated(None, ())


def history(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_losses_that_are_not_finite_are_null_in_json_and_never_the_best(tmp_path: Path) -> None:
    result = fit(ScriptedTask(tmp_path / "run", [math.nan, 3.0, 2.0, math.inf, 2.5], epochs=5))
    assert (result.best_epoch, result.epochs, result.steps) == (3, 5, 15)
    assert [entry["validation"]["loss"] for entry in history(tmp_path / "run")] == [None, 3.0, 2.0, None, 2.5]
    with pytest.raises(UnfinishedError, match=r"validation: no epoch had a finite loss; use a lower --lr"):
        fit(ScriptedTask(tmp_path / "none", [math.nan, math.nan]))


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 6), (None, 8)])
def test_patience_ends_a_run_after_so_many_epochs_without_improvement(
    patience: int | None, epochs: int, tmp_path: Path
) -> None:
    losses = [5.0, 4.0, 4.5, 3.0, 3.0, 3.5, 3.2, 3.1]
    result = fit(ScriptedTask(tmp_path / "run", losses, epochs=8, patience=patience))
    assert result.epochs == epochs
    assert result.best_epoch == 1 + min(range(epochs), key=lambda i: losses[i])


@pytest.mark.parametrize(
    ("every", "steps"), [(1, [1, 2, 3, 4, 5, 6]), (2, [2, 3, 5, 6]), (3, [3, 6]), (9, [3, 6]), (None, [3, 6])]
)
def test_a_run_validates_within_an_epoch_and_at_its_end(every: int | None, steps: list[int], tmp_path: Path) -> None:
    task = ScriptedTask(tmp_path / "run", [3.0, 2.0, 1.0, 1.5, 1.6, 1.7][: len(steps)])
    task.eval_every = every
    fit(task)
    entries = history(tmp_path / "run")
    assert [entry["step"] for entry in entries] == steps
    assert [entry["epoch"] for entry in entries] == [1 + (step > 3) for step in steps]
    assert sum(entry["train"]["samples"] for entry in entries) == 24
    assert task.started == [1, 2]


def test_training_metrics_are_means_over_the_samples_since_the_last_validation(tmp_path: Path) -> None:
    result = fit(ScriptedTask(tmp_path / "run", [1.0, 2.0], max_steps=4))
    entries = history(tmp_path / "run")
    assert entries[0]["train"] == {"loss": (2 + 4 + 6) / 12, "accuracy": 3 / 12, "samples": 12}
    assert entries[1]["train"] == {"loss": 0.5, "accuracy": 0.0, "samples": 4}  # and not those of the epoch before
    assert result.train.samples == 12


@pytest.mark.parametrize("bad", [1, 20, 44])
def test_the_first_step_whose_loss_is_not_finite_is_named_and_its_weights_are_never_saved(
    bad: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunFiles, "is_save_due", True)
    task = ScriptedTask(tmp_path / "run", [1.0])
    task.steps_per_epoch = 60

    def spoil(step: int) -> None:
        if step == bad:
            nn.init.constant_(task.network[1].weight, math.inf)  # type: ignore[index]  # a sequence

    task.before_step = spoil
    with pytest.raises(UnfinishedError, match=rf"--lr: the loss is not finite at step {bad} "):
        fit(task)
    assert task.steps == bad
    tensors, metadata = read_tensors(tmp_path / "run" / "last.safetensors")
    assert metadata["position"]["step"] == bad - 1
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())


def test_a_gradient_that_is_not_finite_is_named(tmp_path: Path) -> None:
    task = ScriptedTask(tmp_path / "run", [1.0], grad_clip=1.0)
    task.before_step = lambda _: task.network[1].weight.register_hook(lambda g: g * math.inf)  # type: ignore[index]
    with pytest.raises(UnfinishedError, match=r"--lr: the gradient is not finite at step 1 "):
        fit(task)


def test_the_norm_of_the_gradient_is_clipped(tmp_path: Path) -> None:
    task = ScriptedTask(tmp_path / "run", [1.0], lr=1.0, grad_clip=0.5, max_steps=1, epochs=None)
    before: list[torch.Tensor] = []

    def enlarge(_: int) -> None:
        nn.init.constant_(task.network[1].weight, 1e3)  # type: ignore[index]  # a sequence
        before.extend(parameter.detach().clone().flatten() for parameter in task.network.parameters())

    task.before_step = enlarge
    fit(task)
    after = torch.cat([parameter.detach().flatten() for parameter in task.network.parameters()])
    torch.testing.assert_close((after - torch.cat(before)).norm(), torch.tensor(0.5), rtol=1e-3, atol=0)


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_compiled_steps_agree_with_eager_ones(tmp_path: Path, dlnotes: Command) -> None:
    words = ("train-mlp", "--hidden", 16, "--dropout", 0, "--max-steps", 30, "--threads", 1, "--json")
    eager = json.loads(dlnotes(*words, "--out", tmp_path / "eager").out)
    compiled = json.loads(dlnotes(*words, "--compile", "--out", tmp_path / "compiled").out)
    assert (eager["compiled"], compiled["compiled"]) == (False, True)
    assert compiled["validation"]["loss"] == pytest.approx(eager["validation"]["loss"], rel=1e-3)


def test_a_compiler_that_fails_is_an_error(tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        def call(*_: Any) -> None:
            raise type("InductorError", (RuntimeError,), {"__module__": "torch._inductor.exc"})("No C++ compiler\nmore")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    outcome = dlnotes(*small_training(tmp_path / "run", "--compile", "-q"))
    expected = "--compile: torch.compile fails here (No C++ compiler); install a C++ compiler, or drop"
    assert (outcome.code, outcome.err) == (2, f"dlnotes: error: {expected} --compile\n")
