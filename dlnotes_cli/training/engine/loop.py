"""The training loop: one step or one validation at a time, so that it can stop, be saved and go on anywhere."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import UnfinishedError
from dlnotes_cli.training.ema import Lent, MovingAverage
from dlnotes_cli.training.engine.step_budget import Horizon
from dlnotes_cli.training.schedule import Schedule

_SAVE_EVERY_S = 10.0
_FORWARD_SHARE = 0.3  # of a training step's time, that a sample takes to be read alone
_SAVE_SHARE = 20  # between two saves lies at least this many times what the last one took


@dataclass(frozen=True)
class StepOutput:
    """What one batch gave: the scalar to differentiate, and sums for the report."""

    objective: Tensor
    loss_sum: Tensor  # plain loss in nats, summed over the samples
    correct: Tensor  # samples classified right
    samples: int


class Job(Protocol):
    """What is trained; the loop knows nothing else of it."""

    @property
    def network(self) -> nn.Module:
        """What learns."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""

    @property
    def validation_samples(self) -> int:
        """Samples that a validation reads."""

    carried: dict[str, Tensor]  # what one step hands to the next, beside the network; saved with it

    def start_epoch(self, epoch: int) -> None:
        """Make ready for the batches of an epoch, counted from 1."""

    def step(self, index: int) -> StepOutput:
        """Run the network forward on batch `index` of the epoch."""

    def validate(self, poll: Callable[[], None]) -> dict[str, float]:
        """Loss, accuracy and whatever else is reported; `poll` is called between batches."""

    def rank(self, scores: dict[str, float]) -> tuple[float, ...]:
        """A key by which validations are compared; larger is better."""


@dataclass
class Tally:
    """Sums over the samples of an epoch, as far as it has come."""

    loss_sum: float = 0.0
    correct: int = 0
    samples: int = 0

    def add(self, outcome: StepOutput) -> None:
        """Count one batch."""
        self.loss_sum += float(outcome.loss_sum)
        self.correct += int(outcome.correct)
        self.samples += outcome.samples

    def means(self) -> dict[str, float]:
        """Loss and accuracy over the samples really seen."""
        seen = max(self.samples, 1)
        return {"loss": self.loss_sum / seen, "accuracy": self.correct / seen, "samples": self.samples}


@dataclass
class Position:
    """Where a run stands; all of it is saved, and a resumed run goes on from it."""

    epoch: int = 1
    step_in_epoch: int = 0
    step: int = 0
    samples_seen: int = 0
    elapsed_s: float = 0.0
    validation_s: float = 0.0  # of the last validation
    total: int | None = None  # steps that a time budget chose
    best_entry: int | None = None  # of the history, counted from 1
    tally: Tally = field(default_factory=Tally)
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class LoopOptions:
    """How the loop treats its job."""

    lr: float
    grad_clip: float | None = None
    patience: int | None = None
    ema: float = 0.0  # decay of the averaged weights; 0 for none
    eval_every: int | None = None  # steps between validations within an epoch


class Trainer:
    """Runs a job to its horizon, keeping the weights of the best validation.

    `save` is called every ten seconds or so, and by the caller at the end; `poll` raises to stop between two steps;
    `after_validation` gets each entry of the history, outside the time that is counted.
    """

    def __init__(
        self,
        job: Job,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        horizon: Horizon,
        options: LoopOptions,
        *,
        save: Callable[["Trainer"], None],
        poll: Callable[[], None],
        after_validation: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self.job, self.optimizer, self.schedule, self.horizon = job, optimizer, schedule, horizon
        self.position = Position()
        self.best_weights: dict[str, Tensor] = {}
        self.average = MovingAverage(job.network, options.ema) if options.ema else None
        self._options, self._save, self._poll, self._after_validation = options, save, poll, after_validation
        self._next_save = time.monotonic() + _SAVE_EVERY_S
        self._clock = time.monotonic()

    def run(self) -> None:
        """Train to the horizon. Raises UnfinishedError where the loss stops being a number."""
        position = self.position
        self._clock = time.monotonic()
        self._start_epoch()
        with output.progress("train") as progress:
            while not self.is_finished:
                if self._is_validation_due:
                    self._report()
                    self.job.network.train()
                elif position.step_in_epoch < self.job.steps_per_epoch and not self._is_at_end:
                    self._step()
                    progress.update(self.horizon.fraction(position.step, position.elapsed_s), self._status)
                else:
                    self._finish_epoch()
                self._save_if_due()
                self._poll()

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to train: the horizon or the end of patience is reached, and validated."""
        return self._is_validated and (self._is_at_end or self.is_out_of_patience)

    @property
    def _is_validated(self) -> bool:
        history = self.position.history
        return bool(history) and history[-1]["step"] == self.position.step

    @property
    def _is_validation_due(self) -> bool:
        """Whether an epoch is to be interrupted by a validation; at its end there is one anyway."""
        position, every = self.position, self._options.eval_every
        is_within = 0 < position.step_in_epoch < self.job.steps_per_epoch and not self._is_at_end
        return every is not None and is_within and position.step_in_epoch % every == 0 and not self._is_validated

    @property
    def is_annealed(self) -> bool:
        """Whether the schedule ran to its end; a machine that slowed down may have cut a time budget short."""
        return self.horizon.total is None or self.position.step >= self.horizon.total or self.is_out_of_patience

    @property
    def _is_at_end(self) -> bool:
        return self.horizon.is_reached(self.position.step, self.position.elapsed_s)

    @property
    def is_out_of_patience(self) -> bool:
        """Whether validations have become no better for as long as `patience` allows."""
        patience, position = self._options.patience, self.position
        return patience is not None and len(position.history) - (position.best_entry or 0) >= patience

    def _start_epoch(self) -> None:
        self.job.start_epoch(self.position.epoch)
        self.job.network.train()

    def _step(self) -> None:
        position = self.position
        self._set_rates(position.step)
        outcome = self.job.step(position.step_in_epoch)
        self.optimizer.zero_grad(set_to_none=True)
        self._check_finite(float(outcome.objective.detach()), "loss")
        outcome.objective.backward()
        if self._options.grad_clip is not None:
            norm = nn.utils.clip_grad_norm_(self.job.network.parameters(), self._options.grad_clip)
            self._check_finite(float(norm), "gradient")
        self.optimizer.step()
        position.tally.add(outcome)
        position.samples_seen += outcome.samples
        position.step += 1
        if self.average is not None:
            self.average.update(self.job.network, position.step)
        position.step_in_epoch += 1
        self._tick()
        self.horizon.observe(position.step, position.elapsed_s, position.validation_s or self._forecast_s())
        position.total = self.horizon.total

    def _set_rates(self, step: int) -> None:
        lr = self._options.lr * self.schedule.factor(step, self.horizon.total)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_factor", 1.0)

    def _forecast_s(self) -> float:
        """Seconds that the first validation will take, by what samples have taken in training."""
        networks = 1 if self.average is None else 2
        per_sample_s = self.position.elapsed_s / max(self.position.samples_seen, 1)
        return _FORWARD_SHARE * per_sample_s * self.job.validation_samples * networks

    def _finish_epoch(self) -> None:
        if not self._is_validated:  # as it is where a stop came between the validation and this
            self._report()
        self.position.epoch += 1
        self.position.step_in_epoch = 0
        if not self.is_finished:
            self._start_epoch()

    def _report(self) -> None:
        """Validate, keep the weights if they are the best, and add an entry to the history."""
        position, started = self.position, time.monotonic()
        self._set_rates(position.step - 1)  # of the last step, which another process may have taken
        if not weights_are_finite(self.job.network):
            raise self._diverged("a weight")
        scores, weights = self._validate()
        position.validation_s = time.monotonic() - started
        entry = {
            "epoch": position.epoch,
            "step": position.step,
            "lr": max(group["lr"] for group in self.optimizer.param_groups),
            "train": position.tally.means(),
            "validation": scores,
        }
        if self._is_better(scores):
            position.best_entry = len(position.history) + 1
            self.best_weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
        position.history.append(output.finite(entry))
        position.tally = Tally()
        self._tick()
        self._after_validation(position.history[-1])
        self._clock = time.monotonic()

    def _validate(self) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Scores and weights of the network, or of its average where that is better."""
        network = self.job.network
        plain = self.job.validate(self._poll), network.state_dict()
        if self.average is None:
            return plain
        with Lent(network, self.average.tensors):
            averaged = self.job.validate(self._poll), self.average.tensors
        return max(plain, averaged, key=lambda candidate: self.job.rank(candidate[0]))

    def _is_better(self, scores: dict[str, float]) -> bool:
        if not math.isfinite(scores["loss"]):
            return False
        best = self.position.best_entry
        return best is None or self.job.rank(scores) > self.job.rank(self.position.history[best - 1]["validation"])

    def _check_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise self._diverged(f"the {what}")

    def _diverged(self, what: str) -> UnfinishedError:
        where = f"step {self.position.step + 1}"
        return UnfinishedError(
            "--lr", f"{what} is not finite at {where} (--lr {self._options.lr:g})", "give a lower --lr"
        )

    def _tick(self) -> None:
        now = time.monotonic()
        self.position.elapsed_s += now - self._clock
        self._clock = now

    def _save_if_due(self) -> None:
        started = time.monotonic()
        if started >= self._next_save:
            self.save()
            took = time.monotonic() - started
            self._next_save = time.monotonic() + max(_SAVE_EVERY_S, _SAVE_SHARE * took)

    def save(self) -> None:
        """Save where the run stands, now."""
        self._save(self)

    def _status(self) -> str:
        position = self.position
        text = f"epoch {position.epoch}  loss {position.tally.means()['loss']:.4f}"
        if position.history:
            last = position.history[-1]["validation"]
            text += "".join(
                f"  val {name} {last[name]:.4f}" for name in ("loss", "accuracy") if last.get(name) is not None
            )
        return text


@torch.no_grad()
def weights_are_finite(network: nn.Module) -> bool:
    """Whether every number of a network is finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values())
