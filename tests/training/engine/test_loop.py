"""The training loop on a small job with scripted validation losses."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dlnotes_cli.shell.errors import UnfinishedError
from dlnotes_cli.training.engine.loop import LoopSettings, Trainer
from dlnotes_cli.training.engine.step_budget import StepBudget
from dlnotes_cli.training.engine.step_forward import StepForward
from dlnotes_cli.training.engine.step_values import StepOutput
from dlnotes_cli.training.history import LoopEntry
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.schedule import Schedule


class ScriptedJob:
    """A job of three steps per epoch with scripted validation losses."""

    steps_per_epoch, validation_samples, metrics_type, batch_samples = 3, 10, Metrics, 4

    def __init__(self, losses: list[float]) -> None:
        self.network = nn.Linear(1, 1)
        self.forward = StepForward(self.network)
        self._losses, self.started = iter(losses), list[int]()
        self.recurrent_state = dict[str, Tensor]()

    def start_epoch(self, epoch: int) -> None:
        self.started.append(epoch)

    def step(self, index: int) -> list[StepOutput]:
        objective = self.network(torch.ones(4, 1)).square().mean()
        return [StepOutput(objective, torch.tensor(2.0 * (index + 1)), torch.tensor(index), 4)]

    def validate(self, poll: Callable[[], None]) -> Metrics:
        poll()
        return Metrics(loss=next(self._losses), accuracy=0.5, samples=10)

    def rank(self, metrics: Metrics) -> tuple[float, ...]:
        return (-metrics.loss,)


def trainer_of(job: ScriptedJob, epochs: int, *, lr: float = 0.01, **settings: float | None) -> Trainer:
    optimizer = torch.optim.SGD(job.network.parameters(), lr=lr)
    budget = StepBudget(Schedule("constant", 1), epochs * job.steps_per_epoch, None)
    return Trainer(job, optimizer, budget, LoopSettings(lr, **settings))  # type: ignore[arg-type]  # some are integers


def run(trainer: Trainer) -> list[LoopEntry]:
    """Train to the end; returns the entries that `advance` returned."""
    trainer.start()
    entries = []
    while not trainer.is_finished:
        entry = trainer.advance()
        if entry is not None:
            entries.append(entry)
    return entries


def test_losses_that_are_not_finite_are_null_in_json_and_never_the_best() -> None:
    trainer = trainer_of(ScriptedJob([math.nan, 3.0, 2.0, math.inf, 2.5]), 5)
    run(trainer)
    assert trainer.state.best_index == 2
    assert [entry.as_json()["validation"]["loss"] for entry in trainer.state.history] == [None, 3.0, 2.0, None, 2.5]


def test_a_run_without_a_finite_validation_loss_has_no_best_weights() -> None:
    trainer = trainer_of(ScriptedJob([math.nan, math.nan]), 2)
    run(trainer)
    assert trainer.state.best_index is None
    assert not trainer.best_weights


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 6), (3, 7), (None, 8)])
def test_patience_ends_a_run_after_so_many_epochs_without_improvement(patience: int | None, epochs: int) -> None:
    losses = [5.0, 4.0, 4.5, 3.0, 3.5, 3.5, 3.2, 3.1]
    trainer = trainer_of(ScriptedJob(losses), 8, patience=patience)
    run(trainer)
    assert len(trainer.state.history) == epochs
    assert trainer.state.best_index == min(range(epochs), key=lambda i: losses[i])


@pytest.mark.parametrize(
    ("every", "steps"), [(1, [1, 2, 3, 4, 5, 6]), (2, [2, 3, 5, 6]), (3, [3, 6]), (9, [3, 6]), (None, [3, 6])]
)
def test_a_run_validates_within_an_epoch_and_at_its_end(every: int | None, steps: list[int]) -> None:
    losses = [3.0, 2.0, 1.0, 1.5, 1.6, 1.7][: len(steps)]
    trainer = trainer_of(ScriptedJob(losses), 2, eval_every=every)
    entries = run(trainer)
    history = trainer.state.history
    assert entries == history
    assert [entry.step for entry in history] == steps
    assert [entry.epoch for entry in history] == [1 + (step > 3) for step in steps]
    assert sum(entry.train.samples for entry in history) == 24
    assert trainer.state.best_index == losses.index(min(losses))


def test_patience_can_end_a_run_within_an_epoch() -> None:
    trainer = trainer_of(ScriptedJob([1.0, 2.0, 3.0]), 2, eval_every=1, patience=1)
    run(trainer)
    assert [entry.step for entry in trainer.state.history] == [1, 2]


def test_training_metrics_are_means_over_the_samples() -> None:
    trainer = trainer_of(ScriptedJob([1.0]), 1)
    run(trainer)
    assert trainer.state.history[0].train == Metrics(loss=(2 + 4 + 6) / 12, accuracy=3 / 12, samples=12)


@pytest.mark.parametrize("bad", [1, 2, 19, 20, 21, 44])
def test_the_first_step_whose_loss_is_not_finite_is_named(bad: int) -> None:
    job = ScriptedJob([1.0])
    job.steps_per_epoch = 60
    trainer = trainer_of(job, 1)
    trainer.start()
    for _ in range(bad - 1):
        trainer.advance()
    with torch.no_grad():
        job.network.weight.fill_(math.inf)
    with pytest.raises(UnfinishedError, match=rf"--lr: the loss is not finite at step {bad} "):
        run(trainer)
    assert bad <= trainer.state.step < bad + 20


def test_a_gradient_that_is_not_finite_is_named() -> None:
    job = ScriptedJob([1.0])
    job.network.weight.register_hook(lambda gradient: gradient * math.inf)
    trainer = trainer_of(job, 1, grad_clip=1.0)
    with pytest.raises(UnfinishedError, match=r"--lr: the gradient is not finite at step 1 "):
        run(trainer)


def test_values_that_are_not_read_yet_are_in_the_status_and_checked_before_a_checkpoint() -> None:
    job = ScriptedJob([1.0])
    trainer = trainer_of(job, 1)
    trainer.start()
    trainer.advance()
    assert trainer.state.sums.samples == 0
    assert "  loss 0.5000" in trainer.status()
    assert trainer.state.sums.samples == 4
    with torch.no_grad():
        job.network.weight.fill_(math.inf)
    trainer.advance()
    with pytest.raises(UnfinishedError, match=r"the loss is not finite at step 2"):
        trainer.read_steps()


def test_the_norm_of_the_gradient_is_clipped() -> None:
    job = ScriptedJob([1.0])
    with torch.no_grad():
        job.network.weight.fill_(1e3)
        job.network.bias.fill_(0.0)
    before = torch.cat([p.detach().flatten().clone() for p in job.network.parameters()])
    trainer = trainer_of(job, 1, lr=1.0, grad_clip=0.5)
    trainer.start()
    trainer.advance()
    after = torch.cat([p.detach().flatten() for p in job.network.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(("every", "epochs"), [(None, [1, 2]), (1, [1, 1, 1, 2]), (2, [1, 1, 2])])
def test_a_run_that_ends_within_an_epoch_reports_its_last_whole_epoch(every: int | None, epochs: list[int]) -> None:
    trainer = trainer_of(ScriptedJob([1.0, 2.0, 3.0, 4.0]), 2, eval_every=every)
    trainer.budget.total = 4
    run(trainer)
    assert [entry.epoch for entry in trainer.state.history] == epochs
    assert trainer.state.history[-1].train == Metrics(loss=1.0, accuracy=0.25, samples=12)


def test_a_run_that_ends_within_its_first_epoch_reports_the_samples_that_it_has() -> None:
    trainer = trainer_of(ScriptedJob([1.0]), 1)
    trainer.budget.total = 2
    run(trainer)
    assert trainer.state.history[0].train == Metrics(loss=0.75, accuracy=0.125, samples=8)


def test_the_status_has_epochs_loss_metric_and_throughput() -> None:
    trainer = trainer_of(ScriptedJob([1.0, 2.0]), 2)
    trainer.start()
    for _ in range(5):
        trainer.advance()
    trainer.state.elapsed_s = 0.001
    assert trainer.status() == "epoch 2 of 2  loss 0.5000  val accuracy 0.5000  16,000 samples/s"
