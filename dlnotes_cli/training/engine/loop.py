"""The training loop: one step or one validation at a time, so that a run can be saved and resumed after any of them."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from dlnotes_cli.device import Runtime
from dlnotes_cli.shell.errors import UnfinishedError
from dlnotes_cli.training.ema import MovingAverage, swapped_weights
from dlnotes_cli.training.engine.distributed import ALONE, Processes
from dlnotes_cli.training.engine.loss_scaling import LossScaling
from dlnotes_cli.training.engine.optimizer_step import OptimizerStep
from dlnotes_cli.training.engine.shared_step import SharedStep
from dlnotes_cli.training.engine.step_budget import StepBudget
from dlnotes_cli.training.engine.step_forward import StepForward
from dlnotes_cli.training.engine.step_values import StepOutput, StepValues, UnreadSteps, total
from dlnotes_cli.training.history import LoopEntry
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.schedule import Continuation

_FORWARD_FRACTION = 0.3  # estimated time of a forward pass, as a fraction of a training step


class TrainingJob(Protocol):
    """A network with its data and objective: all that the loop needs to know about what is trained."""

    @property
    def network(self) -> nn.Module:
        """The trained network."""

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in an epoch."""

    @property
    def validation_samples(self) -> int:
        """The number of samples in a validation."""

    @property
    def metrics_type(self) -> type[Metrics]:
        """The class of the metrics of a validation."""

    @property
    def runtime(self) -> Runtime:
        """The device and precision of the steps."""

    @property
    def forward(self) -> StepForward:
        """The forward pass of the steps."""

    recurrent_state: dict[str, Tensor]  # hidden and cell states that one step passes to the next; saved in checkpoints
    batch_samples: int  # samples of the last step, of which each process may have a share

    def start_epoch(self, epoch: int) -> None:
        """Prepare the batches of an epoch, counted from 1."""

    def step(self, index: int) -> Iterable[StepOutput]:
        """The forward passes of batch `index` of the epoch, counted from 0, one for each part of the batch.

        The objective of the batch is the sum of those of its parts, in all processes. The loop runs each part backward
        before the next.
        """

    def complete_recurrent_state(self) -> None:
        """Collect the recurrent states of all processes, if each has only its own; before a checkpoint is saved."""

    def validate(self, poll: Callable[[], None]) -> Metrics:
        """Loss, accuracy and other metrics on the validation split; `poll` is called between batches."""

    def rank(self, metrics: Metrics) -> tuple[float, ...]:
        """A sort key of the metrics of a validation; the best validation has the largest."""


@dataclass
class RunningSums:
    """Sums over the samples of the current epoch so far."""

    loss_sum: float = 0.0
    correct: int = 0
    samples: int = 0

    def add(self, step: StepValues) -> None:
        """Add one batch."""
        self.loss_sum += step.loss_sum
        self.correct += step.correct
        self.samples += step.samples

    def metrics(self) -> Metrics:
        """Mean loss and accuracy, and the number of samples."""
        count = max(self.samples, 1)
        return Metrics(loss=self.loss_sum / count, accuracy=self.correct / count, samples=self.samples)


@dataclass
class TrainerState:
    """The progress of a run; a checkpoint stores it, and a resumed run continues from it."""

    epoch: int = 1
    step_in_epoch: int = 0
    step: int = 0
    samples_seen: int = 0
    elapsed_s: float = 0.0
    validation_s: float = 0.0  # duration of the last validation
    total: int | None = None  # number of steps that was chosen for a time budget
    continuation: Continuation | None = None  # of the schedule, since the length of the run was changed
    best_index: int | None = None  # of the best validation in `history`
    sums: RunningSums = field(default_factory=RunningSums)
    history: list[LoopEntry] = field(default_factory=list)


@dataclass(frozen=True)
class LoopSettings:
    """Settings of the loop that do not depend on the job."""

    lr: float  # peak of the schedule
    grad_clip: float | None = None
    patience: int | None = None
    ema: float = 0.0  # decay of the moving average of the weights; 0: no average
    eval_every: int | None = None  # steps between validations within an epoch; None: only at its end


class Trainer:
    """Trains a job until its step budget or patience ends, and keeps the weights of the best validation.

    The caller runs `start`, then `advance` until `is_finished`. `poll` is called between the batches of a validation
    and may raise an exception to stop there; the caller itself polls between two calls of `advance`.

    Several `processes` train together: each has a trainer, and all take the same steps. `prepare_step` gets the number
    of steps before each step; `synchronize` gets the elapsed seconds in each step and after each validation, and
    returns those of the main process. With `scaling`, of the same optimizer, the loss is scaled.
    """

    def __init__(
        self,
        job: TrainingJob,
        optimizer: torch.optim.Optimizer,
        budget: StepBudget,
        settings: LoopSettings,
        poll: Callable[[], None] = lambda: None,
        processes: Processes = ALONE,
        scaling: LossScaling | None = None,
    ) -> None:
        self.job, self.optimizer, self.budget, self.settings = job, optimizer, budget, settings
        self.processes, self.synchronize, self.prepare_step = processes, _unchanged, _nothing
        self.scaling = scaling
        self._optimizer_step = OptimizerStep(optimizer)
        changes_gradients = settings.grad_clip is not None or scaling is not None
        self._shared_step = (
            None if processes.is_alone else SharedStep(processes, job.network, changes_gradients=changes_gradients)
        )
        self.state = TrainerState()
        self.best_weights: dict[str, Tensor] = {}
        self.average = MovingAverage(job.network, settings.ema) if settings.ema else None
        self._poll = poll
        self._clock = time.monotonic()
        self._unread = UnreadSteps()

    def start(self) -> None:
        """Prepare the current epoch."""
        self.restart_clock()
        self._start_epoch()

    def advance(self) -> LoopEntry | None:
        """Run one step or one validation; returns the entry that a validation appended to the history.

        Raises UnfinishedError if a weight is not finite, or as `read_steps` does.
        """
        state = self.state
        entry = None
        if self._is_validation_due:
            entry = self._validate()
            self.job.network.train()
        elif state.step_in_epoch < self.job.steps_per_epoch and not self._is_at_end:
            self._step()
        else:
            if not self._is_validated:  # a resumed run may have validated here already
                entry = self._validate()
            self._finish_epoch()
        return entry

    def read_steps(self) -> None:
        """Add the steps since the last call to the sums of the epoch; before a checkpoint is saved, too.

        The host waits for the device here, every few steps. Raises UnfinishedError naming the first step whose loss or
        gradient is not finite.
        """
        for values in self._unread.read():
            if values.not_finite is not None:
                raise self._diverged(f"the {values.not_finite}", values.step)
            self.state.sums.add(values)

    def resume(self, state: TrainerState, limits: object) -> None:
        """Continue from the state of a run that had these `limits`."""
        self.state = state
        has_same_limits = limits == self.budget.limits
        self.budget.resume(state.step, state.total, state.continuation, has_same_limits=has_same_limits)
        state.continuation, state.total = self.budget.continuation, self.budget.total

    def restart_clock(self) -> None:
        """Exclude the time since the last step or validation from the elapsed time."""
        self._clock = time.monotonic()

    @property
    def is_finished(self) -> bool:
        """Whether the step budget or the patience has ended, and the final weights are validated."""
        return self._is_validated and (self._is_at_end or self.is_out_of_patience)

    @property
    def is_annealed(self) -> bool:
        """Whether the schedule ran to its end; a time budget cuts it short if steps become slower."""
        return self.budget.total is None or self.state.step >= self.budget.total or self.is_out_of_patience

    @property
    def is_out_of_patience(self) -> bool:
        """Whether the last `patience` validations brought no improvement."""
        patience, state = self.settings.patience, self.state
        best = -1 if state.best_index is None else state.best_index
        return patience is not None and len(state.history) - (best + 1) >= patience

    @property
    def fraction(self) -> float:
        """The fraction of the run, 0 to 1, that is done."""
        return self.budget.fraction(self.state.step, self.state.elapsed_s)

    @property
    def remaining_s(self) -> float:
        """The estimated seconds until the end of the run; infinite before anything is known."""
        return self.state.elapsed_s * (1 / self.fraction - 1) if self.fraction else math.inf

    def status(self) -> str:
        """Epoch, training loss, last validation and throughput, for a progress bar of 80 columns."""
        self.read_steps()
        state, planned = self.state, self.budget.total
        of = f" of {math.ceil(planned / self.job.steps_per_epoch)}" if planned else ""
        loss = state.sums.metrics().loss
        accuracy = state.history[-1].validation.accuracy if state.history else math.nan
        validation = f"val accuracy {accuracy:.4f}" if math.isfinite(accuracy) else ""
        pace = f"{state.samples_seen / state.elapsed_s:,.0f} samples/s" if state.elapsed_s else ""
        parts = (f"epoch {state.epoch}{of}", f"loss {loss:.4f}", validation, pace)
        return "  ".join(part for part in parts if part)

    @property
    def _is_validated(self) -> bool:
        history = self.state.history
        return bool(history) and history[-1].step == self.state.step

    @property
    def _is_validation_due(self) -> bool:
        """Whether a validation within the epoch is due; the end of an epoch is always validated."""
        state, every = self.state, self.settings.eval_every
        is_within = 0 < state.step_in_epoch < self.job.steps_per_epoch and not self._is_at_end
        return every is not None and is_within and state.step_in_epoch % every == 0 and not self._is_validated

    @property
    def _is_at_end(self) -> bool:
        return self.budget.is_reached(self.state.step, self.state.elapsed_s)

    def _start_epoch(self) -> None:
        self.job.start_epoch(self.state.epoch)
        self.job.network.train()

    def _finish_epoch(self) -> None:
        self.state.epoch += 1
        self.state.step_in_epoch = 0
        if not self.is_finished:
            self._start_epoch()

    def _step(self) -> None:
        state = self.state
        self.prepare_step(state.step)
        self._set_lr(state.step)
        self._optimizer_step.remove_gradients()
        parts = []
        for part in self.job.step(state.step_in_epoch):
            (part.objective if self.scaling is None else self.scaling.scaled(part.objective)).backward()
            parts.append(part.without_graph())
        result = total(parts)
        if self._shared_step is not None:
            result = self._shared_step(result, self.job.batch_samples)
        self._tick()  # here, where no process waits for another
        norm = self._apply_gradient()
        state.samples_seen += result.samples
        state.step += 1
        scale = None if self.scaling is None else self.scaling.scale_of(result.objective)
        self._unread.add(state.step, result, norm, scale)
        if self._unread.is_due:
            self.read_steps()
        if self.average is not None:
            self.average.update(self.job.network, state.step)
        state.step_in_epoch += 1
        self.budget.observe(state.step, state.elapsed_s, state.validation_s or self._estimate_validation_s())
        state.total = self.budget.total

    def _apply_gradient(self) -> Tensor | None:
        """Clip the gradient and run the optimizer; returns the norm of the gradient if it is clipped."""
        if self.scaling is not None:
            self.scaling.unscale()
        norm = None
        if self.settings.grad_clip is not None:
            norm = nn.utils.clip_grad_norm_(self.job.network.parameters(), self.settings.grad_clip)
        if self.scaling is None:
            self._optimizer_step(self.state.step)
        else:
            self.scaling.step()
        return norm

    def _set_lr(self, step: int) -> None:
        lr = self.settings.lr * self.budget.lr_factor(step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_factor", 1.0)

    def _estimate_validation_s(self) -> float:
        """The duration of the first validation in seconds, estimated from the time per training sample."""
        networks = 1 if self.average is None else 2
        per_sample_s = self.state.elapsed_s / max(self.state.samples_seen, 1)
        return _FORWARD_FRACTION * per_sample_s * self.job.validation_samples * networks

    def _validate(self) -> LoopEntry:
        """Validate, keep the weights if they are the best, and add an entry to the history."""
        self.read_steps()
        state, started = self.state, time.monotonic()
        if not _weights_are_finite(self.job.network):
            raise self._diverged("a weight", state.step)
        metrics, weights = self._better_weights()
        state.validation_s, before = time.monotonic() - started, state.elapsed_s
        entry = LoopEntry(
            epoch=state.epoch,
            step=state.step,
            lr=self.settings.lr * self.budget.lr_factor(state.step - 1),
            train=self._train_metrics(),
            validation=metrics,
        )
        if self._is_better(metrics):
            state.best_index = len(state.history)
            self.best_weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
        state.history.append(entry)
        state.sums = RunningSums()
        self._tick()
        if not self.processes.is_alone:
            state.validation_s = state.elapsed_s - before
        return entry

    def _train_metrics(self) -> Metrics:
        """Means over the samples since the last validation; where the run ends within an epoch, over the epoch before.

        The remainder of an epoch would be too few samples to compare with other epochs; in the first epoch they are all
        there are.
        """
        state = self.state
        is_partial = self._is_at_end and state.step_in_epoch < self.job.steps_per_epoch
        before = [entry.train for entry in state.history if entry.epoch == state.epoch - 1]
        metrics = _merged(before) if is_partial and before else state.sums.metrics()
        return metrics if self.job.metrics_type.has_accuracy else replace(metrics, accuracy=math.nan)

    def _better_weights(self) -> tuple[Metrics, dict[str, Tensor]]:
        """Metrics and weights of the network, or of the moving average of its weights where that ranks higher."""
        network = self.job.network
        current = self.job.validate(self._poll), network.state_dict()
        if self.average is None:
            return current
        with swapped_weights(network, self.average.tensors):
            averaged = self.job.validate(self._poll), self.average.tensors
        return max(current, averaged, key=lambda candidate: self.job.rank(candidate[0]))

    def _is_better(self, metrics: Metrics) -> bool:
        """Whether a validation is the best so far; without validation samples the last weights are."""
        if not metrics.samples:
            return True
        if not math.isfinite(metrics.loss):
            return False
        best = self.state.best_index
        return best is None or self.job.rank(metrics) > self.job.rank(self.state.history[best].validation)

    def _diverged(self, what: str, step: int) -> UnfinishedError:
        lr = self.settings.lr
        fix = "use a lower --lr" if self.scaling is None else "use a lower --lr, or --precision fp32"
        return UnfinishedError("--lr", f"{what} is not finite at step {step} (--lr {lr:g})", fix)

    def _tick(self) -> None:
        now = time.monotonic()
        self.state.elapsed_s = self.synchronize(self.state.elapsed_s + (now - self._clock))
        self._clock = now


def _unchanged(elapsed_s: float) -> float:
    return elapsed_s


def _nothing(_step: int) -> None:
    pass


def _merged(parts: list[Metrics]) -> Metrics:
    """The means over several sets of samples, from the means over each."""
    if len(parts) == 1:
        return parts[0]
    samples = sum(part.samples for part in parts)
    loss, accuracy = (
        math.fsum(mean * part.samples for mean, part in zip(means, parts, strict=True)) / max(samples, 1)
        for means in ([part.loss for part in parts], [part.accuracy for part in parts])
    )
    return Metrics(loss=loss, accuracy=accuracy, samples=samples)


@torch.no_grad()
def _weights_are_finite(network: nn.Module) -> bool:
    """Whether all values of all parameters and buffers are finite."""
    checks = [torch.isfinite(tensor).all() for tensor in network.state_dict().values()]
    return not checks or bool(torch.stack(checks).all())
