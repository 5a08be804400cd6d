"""The training of any network, from options to a finished run folder: setup, steps and validations."""

import math
import time
from contextlib import nullcontext, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dlnotes_cli.device import choose_device
from dlnotes_cli.networks.registry import build
from dlnotes_cli.seeding import seed_everything, seed_process
from dlnotes_cli.shell import cores, output
from dlnotes_cli.shell.errors import ExitCode, InputError, UnfinishedError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.checkpoint import RunFiles
from dlnotes_cli.training.distributed import LostProcessError, lost
from dlnotes_cli.training.memory import check_memory
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.optimizers import (
    MovingAverage,
    clear_tiny_averages,
    define_momentum,
    make_optimizer,
    swapped_weights,
)
from dlnotes_cli.training.options import run_length
from dlnotes_cli.training.recipes import RunLength
from dlnotes_cli.training.results import LoopEntry, Result, RunningSums, RunProgress, measure_timing
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.training.schedule import StepBudget, make_schedule
from dlnotes_cli.training.task import Batch, Model, StepLoss, Task

_READ_EVERY = 20  # steps whose losses are read from the device at once, as the host waits for it there
_CLEAR_EVERY = 50  # steps, in which an average that Adam multiplies by 0.9 each time cannot become subnormal
_COMPILER = ("torch._dynamo", "torch._inductor", "torch._functorch")  # the modules of its errors
_FORWARD_FRACTION = 0.3  # estimated time of a forward pass, as a fraction of a training step


def fit(task: Task[Result]) -> Result:
    """Train a network, test it and write its run folder; of several processes, the main one writes.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    started = time.monotonic()
    options, processes = task.options, task.processes
    folder = processes.main_first(lambda: RunFolder(options, is_main=processes.is_main))
    choose_device(options.device)  # an unavailable one is refused before data is read
    processes.main_first(task.load)
    processes.check_same("data", (task.data, task.training_samples), "give all the same data")
    data_s = time.monotonic() - started
    task.adapt()

    length = run_length(
        options, task.recipe.length, task.training_samples, processes.broadcast(task.fitting_batch_size())
    )
    samples = -(-min(length.batch_size, task.training_samples) // processes.count)  # of a batch, here
    task.check_batches(length.batch_size)
    task.runtime = processes.runtime(options, bf16_pays=task.bf16_pays(samples))
    task.stored = task.stored_options(length)
    processes.main_first(lambda: check_memory(task, -(-samples // options.accumulate), task.runtime))

    seed_everything(task.initial_seed)
    network = build(task.model_name, task.network_config)
    task.initialize(network)
    task.network = processes.on_device(network, task.runtime.device)
    task.prepare(length.batch_size)
    task.announce()
    with StopRequest() as stop, folder:
        run = TrainingRun(task, length, stop)
        files = RunFiles(run, folder)
        result: Result | None = files.start_or_resume()
        if result is not None:
            return result
        with files.saved_on_stop():
            run.note_decay_start()
            task.begin(run.poll)
            run.train(files)
            if not processes.is_main:
                return processes.broadcast(None)  # type: ignore[return-value]  # the result of the main process
            trained_at, progress = time.monotonic(), run.progress
            evaluated = task.finish(folder, progress, stop.poll)
            eval_s = time.monotonic() - trained_at
            timing = measure_timing(data_s, progress.elapsed_s, eval_s, progress.samples_seen, started)
            result = task.write_result(folder, progress, evaluated, timing, is_compiled=run.is_compiled)
            with suppress(LostProcessError):  # of which this process needs nothing any more
                processes.broadcast(result)
            return result


class TrainingRun:
    """The steps and validations of a task. All processes of a run take the same ones."""

    def __init__(self, task: Task[Any], length: RunLength, stop: StopRequest) -> None:
        recipe = task.recipe
        self.task, self.device = task, task.runtime.device
        self.optimizer = make_optimizer(task.network, recipe, task.lr_factors())
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=task.runtime.precision == "fp16")
        if self.scaler.is_enabled():
            define_momentum(self.optimizer)
        self.average = MovingAverage(task.network, recipe.ema) if recipe.ema else None
        self.progress = RunProgress(elapsed_s=task.spent_s, spent_s=task.spent_s)
        self.best_weights: dict[str, Tensor] = {}
        limits = (length.max_steps, length.epochs and length.epochs * task.steps_per_epoch)
        max_steps = min((limit for limit in limits if limit is not None), default=None)
        schedule = make_schedule(recipe.schedule, task.steps_per_epoch)
        self.budget = StepBudget(schedule, max_steps, length.time_budget, task.has_early_steps, self.progress)
        self.is_compiled = self.is_trained = False  # when it is trained, the network has the best weights
        self._length, self._stop, self._processes = length, stop, task.processes
        self._clock = time.monotonic()
        self._model: tuple[list[bool], Model] | None = None  # what is trained, and how steps call the network
        self._unread: list[Tensor] = []  # of the last steps: objective, loss, correct samples, norm of the gradient
        self._unread_samples, self._no_norm = 0, torch.zeros(1, device=self.device)

    def train(self, files: RunFiles) -> None:
        """Train to the end, save, and load the best weights.

        Raises UnfinishedError on divergence or a full disk; StoppedError after a signal.
        """
        task, progress = self.task, self.progress
        if self.device.type == "cpu" and self._processes.is_alone:
            cores.note_other_processes(task.runtime.threads)
        self._clock = time.monotonic()
        with output.progress("train") as bar, nullcontext() if self._processes.is_alone else lost():
            while not self.is_finished:
                task.start_epoch(progress.epoch, self._length.epochs)
                model = self._callable()
                task.network.train()
                for index in range(progress.step_in_epoch, task.steps_per_epoch):
                    is_due = task.eval_every is not None and index > 0 and index % task.eval_every == 0
                    if is_due and not progress.is_validated:  # the end of an epoch is always validated
                        self._validate()
                    if self.budget.is_reached or self.is_out_of_patience:
                        break
                    task.is_early = self.budget.is_early
                    self._step(model, task.batch(index))
                    bar.update(self.budget.fraction, self._status)
                    self._synchronize(files)
                if not progress.is_validated:  # a resumed run may have validated here already
                    self._validate()
                progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
                self._synchronize(files)
        if not self.best_weights:
            raise UnfinishedError("validation", "no epoch had a finite loss", "use a lower --lr")
        files.save()
        if progress.total is not None and progress.step < progress.total and not self.is_out_of_patience:
            output.warn(
                "the time budget ended before the schedule did, because it is too short or steps became slower; "
                "--max-steps cannot repeat this run"
            )
        task.network.load_state_dict(self.best_weights)
        self.is_trained = True

    def _step(self, model: Model, batch: Batch) -> None:
        """Take a training step on a batch, part by part."""
        task, progress, count = self.task, self.progress, self._processes.count
        if count > 1:
            seed_process(self.device, task.initial_seed, self._processes.rank, progress.step)
        lr = task.recipe.lr * self.budget.lr_factor(progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_factor"]
        self.optimizer.zero_grad()
        losses = []
        for number, part in enumerate(batch.parts, 1):
            is_last = number == len(batch.parts)
            with nullcontext() if is_last or count == 1 else model.no_sync():  # type: ignore[attr-defined]  # of DDP
                loss = self._loss(model, part)
                if not batch.counts:
                    loss = StepLoss(*(value * 0 for value in loss))
                objective = loss.objective if count == 1 else loss.objective * count  # DDP takes the mean
                self.scaler.scale(objective).backward()
            losses.append(torch.stack([value.detach().float() for value in loss]))
        self.scaler.unscale_(self.optimizer)
        norm = self._no_norm
        if task.recipe.grad_clip:
            norm = nn.utils.clip_grad_norm_(task.network.parameters(), task.recipe.grad_clip).reshape(1).float()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if progress.step % _CLEAR_EVERY == 0:
            clear_tiny_averages(self.optimizer)
        progress.step += 1
        progress.step_in_epoch += 1
        progress.samples_seen += batch.samples
        if self.average is not None:
            self.average.update(task.network, progress.step)
        total = losses[0] if len(losses) == 1 else torch.stack(losses).sum(0)
        self._unread.append(torch.cat([total, norm]))
        self._unread_samples += batch.samples
        if len(self._unread) >= _READ_EVERY:
            self.read_steps()

    def _loss(self, model: Model, part: Any) -> StepLoss:
        """The loss of a part of a batch. Raises InputError where `--compile` finds no compiler that works."""
        try:
            loss = self.task.loss(model, part)
        except Exception as error:
            if not type(error).__module__.startswith(_COMPILER):
                raise
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            what = f"torch.compile fails here ({reason:.200})"
            raise InputError("--compile", what, "install a C++ compiler, or drop --compile") from error
        self.is_compiled = self.task.options.compile
        return loss

    def read_steps(self) -> None:
        """Add the steps since the last call to the sums of the epoch; before a checkpoint is saved, too.

        Raises UnfinishedError naming the first step whose loss or gradient is not finite.
        """
        if not self._unread:
            return
        sums, first = self.progress.sums, self.progress.step - len(self._unread) + 1
        values = self._processes.sum(torch.stack(self._unread).cpu().double())
        self._unread = []
        for step, (objective, loss_sum, correct, norm) in enumerate(values.tolist(), first):
            if not math.isfinite(objective):
                raise self._diverged("the loss", step)
            if not math.isfinite(norm) and not self.scaler.is_enabled():
                raise self._diverged("the gradient", step)
            sums.loss_sum += loss_sum
            sums.correct += round(correct)
        sums.samples, self._unread_samples = sums.samples + self._unread_samples, 0
        if self.scaler.is_enabled() and self.scaler.get_scale() < 1:  # gradients overflow without scaling, too
            raise self._diverged("the gradient", self.progress.step)

    def _validate(self) -> None:
        """Validate, keep the weights if they are the best, and add an entry to the history."""
        self.read_steps()
        task, progress, started = self.task, self.progress, time.monotonic()
        for tensors in (task.network.state_dict(), self.average.tensors if self.average else {}):
            self._processes.broadcast_statistics(tensors)
        if not _are_finite(task.network.state_dict()):
            raise self._diverged("a weight", progress.step)
        metrics, weights = task.validate(self.poll), task.network.state_dict()
        if self.average is not None:
            with swapped_weights(task.network, self.average.tensors):
                averaged = task.validate(self.poll)
            if task.rank(averaged) > task.rank(metrics):
                metrics, weights = averaged, self.average.tensors
        task.network.train()
        metrics, train = self._processes.broadcast(metrics), progress.sums.metrics()
        if not task.metrics_type.has_accuracy:
            train = Metrics(loss=train.loss, accuracy=math.nan, samples=train.samples)
        lr = task.recipe.lr * self.budget.lr_factor(progress.step - 1)
        entry = LoopEntry(epoch=progress.epoch, step=progress.step, lr=lr, train=train, validation=metrics)
        if self._is_better(metrics):
            progress.best_index = len(progress.history)
            self.best_weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
        progress.history.append(entry)
        progress.sums = RunningSums()
        self._tick()
        times = self._processes.broadcast((progress.elapsed_s, time.monotonic() - started))
        progress.elapsed_s, progress.validation_s = times
        if self._processes.is_main:
            task.report(entry, self.poll)
        self._clock = time.monotonic()

    def _is_better(self, metrics: Metrics) -> bool:
        """Whether a validation is the best so far; without validation samples the last weights are."""
        if not metrics.samples:
            return True
        if not math.isfinite(metrics.loss):
            return False
        best = self.progress.best_index
        return best is None or self.task.rank(metrics) > self.task.rank(self.progress.history[best].validation)

    def _callable(self) -> Model:
        """The network as steps call it: in several processes, with gradients that are means over all of them."""
        network = self.task.network
        trained = [parameter.requires_grad for parameter in network.parameters()]
        if self._model is None or self._model[0] != trained:  # DDP and compilers know what is trained when they begin
            alone = self._processes.is_alone
            model: Any = network if alone else DistributedDataParallel(network, gradient_as_bucket_view=True)
            if not alone:
                model.broadcast_buffers = False  # but share running statistics before each validation
            self._model = trained, torch.compile(model) if self.task.options.compile else model
        return self._model[1]

    def _diverged(self, what: str, step: int) -> UnfinishedError:
        lr = self.task.recipe.lr
        fix = "use a lower --lr, or --precision fp32" if self.scaler.is_enabled() else "use a lower --lr"
        return UnfinishedError("--lr", f"{what} is not finite at step {step} (--lr {lr:g})", fix)

    @property
    def is_finished(self) -> bool:
        """Whether the step budget or the patience has ended, and the final weights are validated."""
        return self.progress.is_validated and (self.budget.is_reached or self.is_out_of_patience)

    @property
    def is_out_of_patience(self) -> bool:
        """Whether the last `patience` validations brought no improvement."""
        patience, progress = self._length.patience, self.progress
        best = -1 if progress.best_index is None else progress.best_index
        return patience is not None and len(progress.history) - (best + 1) >= patience

    def _status(self) -> str:
        """Epoch, training loss, last validation and throughput, for a progress bar of 80 columns."""
        progress, planned = self.progress, self.progress.total
        if self._processes.is_alone:
            self.read_steps()
        of = f" of {math.ceil(planned / self.task.steps_per_epoch)}" if planned else ""
        accuracy = progress.history[-1].validation.accuracy if progress.history else math.nan
        loss = f"loss {progress.sums.metrics().loss:.4f}" if progress.sums.samples else ""
        validation = f"val accuracy {accuracy:.4f}" if math.isfinite(accuracy) else ""
        pace = f"{progress.samples_seen / progress.elapsed_s:,.0f} samples/s" if progress.elapsed_s else ""
        return "  ".join(part for part in (f"epoch {progress.epoch}{of}", loss, validation, pace) if part)

    def _tick(self) -> None:
        """Add the time since the last call."""
        now = time.monotonic()
        self.progress.elapsed_s += now - self._clock
        self._clock = now

    def _synchronize(self, files: RunFiles) -> None:
        """Agree with the other processes on what follows a step or validation: save, stop, or go on.

        The main process decides over the time and when to save. Raises StoppedError after a signal in any of them.
        """
        self._tick()
        progress, requested = self.progress, self._stop.requested
        elapsed_s = progress.elapsed_s if self._processes.is_main else 0.0
        progress.elapsed_s, stop, is_save_due = self._processes.maximum(
            elapsed_s, float(requested or 0), float(files.is_save_due)
        )
        validations = 1 + len(progress.history) * self.task.has_early_steps  # after the decay as many as before it
        per_sample_s = (progress.elapsed_s - progress.spent_s) / max(progress.samples_seen, 1)
        networks = 1 if self.average is None else 2
        estimated_s = _FORWARD_FRACTION * per_sample_s * self.task.validation_samples * networks
        self.budget.observe(validations * (progress.validation_s or estimated_s))
        if is_save_due:
            files.save_and_schedule_next()
        if stop:
            self._stop.stop(ExitCode(int(stop)))

    def poll(self) -> None:
        """Raise StoppedError after a signal; of several processes, none may stop where the others do not."""
        if self._processes.is_alone:
            self._stop.poll()

    def resume(self, progress: RunProgress, limits: object) -> None:
        """Continue from the progress of a run that had these `limits`."""
        self.progress = progress
        self.budget.resume(progress, limits)

    def note_decay_start(self) -> None:
        """Print that the learning rate continues from where it is, if the length of the run was changed too late."""
        if not self.is_finished and self.progress.decay_start is not None:
            lr = self.task.recipe.lr * self.budget.lr_factor(self.progress.step)
            output.note(
                f"the learning rate continues from {lr:.3g}, where the run stands; "
                "a new run of the new length has the whole schedule"
            )


@torch.no_grad()
def _are_finite(tensors: dict[str, Tensor]) -> bool:
    """Whether all values of all tensors are finite."""
    checks = [torch.isfinite(tensor).all() for tensor in tensors.values()]
    return not checks or bool(torch.stack(checks).all())
