"""The training of any network, from options to a finished run folder: setup, steps, validations, files."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any, Generic

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dlnotes_cli import __version__
from dlnotes_cli.device import check_device
from dlnotes_cli.models.registry import build
from dlnotes_cli.seeding import seed_everything, seed_process
from dlnotes_cli.shell import cores, files, output
from dlnotes_cli.shell.errors import DiskFullError, ExitCode, InputError, StoppedError, UnfinishedError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.checkpoint import Progress, RunningSums, checkpoint_of, restore_checkpoint
from dlnotes_cli.training.distributed import LostProcessError, lost
from dlnotes_cli.training.ema import MovingAverage, swapped_weights
from dlnotes_cli.training.memory import check_memory
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.optimizers import clear_tiny_averages, make_optimizer
from dlnotes_cli.training.recipes import RunLength
from dlnotes_cli.training.results import LoopEntry, Result, TrainingResult, measure_timing
from dlnotes_cli.training.run_folder import LAST, MODEL, RESULT, FollowedFolder, RunFolder
from dlnotes_cli.training.schedule import make_schedule
from dlnotes_cli.training.step_budget import StepBudget
from dlnotes_cli.training.task import Batch, DirectTask, Model, Outcome, RunDescription, StepLoss, Task
from dlnotes_cli.training.tensor_file import TYPICAL_HEADER_BYTES, read_checkpoint, read_tensors, write_tensors

_SAVE_EVERY_S = 10.0  # at least; longer for runs whose checkpoints take long
_SAVE_RATIO = 20  # time between two checkpoints, at least, as a multiple of the time that one takes
_READ_EVERY = 20  # steps whose losses are read from the device at once, as the host waits for it there
_CLEAR_EVERY = 50  # steps, in which an average that Adam multiplies by 0.9 each time cannot become subnormal
_FORWARD_FRACTION = 0.3  # estimated time of a forward pass, as a fraction of a training step


def fit(task: Task[Result]) -> Result:
    """Train a network, test it and write its run folder; of several processes, the main one writes.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    started = time.monotonic()
    options, processes = task.options, task.processes
    folder = processes.main_first(lambda: RunFolder(options) if processes.is_main else FollowedFolder(options))
    check_device(options.device)
    processes.main_first(task.load)
    processes.check_same("data", (task.data, task.training_samples), "give all the same data")
    data_s = time.monotonic() - started

    length = options.run_length(task.recipe.length, task.training_samples, processes.share(task.fitting_batch_size()))
    share = -(-min(length.batch_size, task.training_samples) // processes.count)
    task.check_batches(length.batch_size)
    task.runtime = processes.runtime(options, bf16_pays=task.bf16_pays(share))
    task.stored = task.stored_options(length)
    check_memory(task, -(-share // options.accumulate), task.runtime)

    seed_everything(task.initial_seed)
    network = build(task.model_name, task.network_config)
    task.initialize(network)
    task.network = _on_device(task, network)
    task.prepare(length.batch_size)
    task.announce()
    with StopRequest() as stop, folder:
        run = TrainingRun(task, folder, length, stop)
        result = run.start_or_resume()
        if result is not None:
            return result
        with run.saved_on_stop():
            task.begin(run.poll)
            run.train()
            return run.finish(data_s, started)


def fit_at_once(task: DirectTask[Result]) -> Result:
    """Fit a model without steps, test it and write its run folder; a run that is resumed is fitted again.

    Raises errors as `fit`.
    """
    started = time.monotonic()
    folder = RunFolder(task.options)
    check_device(task.options.device)
    with StopRequest() as stop, folder:
        try:
            task.load(stop.poll)
            if folder.is_resumed and folder.has_model:
                metadata = read_tensors(folder.file(MODEL))[1]
                folder.check_same_data(MODEL, metadata, task.data.name, task.data.fingerprint)
            data_s, solving_since = time.monotonic() - started, time.monotonic()
            outcome = task.solve(stop.poll)
        except StoppedError as request:
            fix = "run the same command again to continue"
            if not folder.has_model or folder.is_resumed:  # otherwise it is of a run that this one would have replaced
                fix = f"continue with --resume {folder.path}"
                if not folder.is_resumed:
                    folder.start(task.stored, task.runtime.threads)
            raise StoppedError(request.exit_code, task.kept_on_stop, fix) from request
        train_s, evaluated_since = time.monotonic() - solving_since, time.monotonic()
        outcome = replace(outcome, train_s=train_s)
        folder.start(task.stored, task.runtime.threads)
        task.announce()
        write_tensors(folder.file(MODEL), task.network.state_dict(), task.model_metadata(outcome.best))
        folder.clear_results()
        folder.write_history(outcome.history)
        evaluated = task.finish(folder, outcome, stop.poll)
        eval_s = time.monotonic() - evaluated_since
        timing = measure_timing(data_s, train_s, eval_s, task.samples_seen, started)
        return _write_result(task, folder, outcome, evaluated, timing)


class TrainingRun(Generic[Result]):
    """The steps and validations of a task, and the files of its run.

    All processes of a run take these steps, but only the main one reads and writes files. The others start from its
    checkpoint and get its result.
    """

    def __init__(self, task: Task[Result], folder: RunFolder, length: RunLength, stop: StopRequest) -> None:
        recipe = task.recipe
        self.task, self.device = task, task.runtime.device
        self.optimizer = make_optimizer(task.network, recipe, task.lr_factors())
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=task.runtime.precision == "fp16")
        self.average = MovingAverage(task.network, recipe.ema) if recipe.ema else None
        self.progress, self.best_weights = Progress(), dict[str, Tensor]()
        limits = (length.max_steps, length.epochs and length.epochs * task.steps_per_epoch)
        max_steps = min((limit for limit in limits if limit is not None), default=None)
        schedule = make_schedule(recipe.schedule, task.steps_per_epoch)
        self.budget = StepBudget(schedule, max_steps, length.time_budget)
        self._folder, self._length, self._stop, self._processes = folder, length, stop, task.processes
        self._unread: list[Tensor] = []  # of the last steps: objective, loss, correct samples, norm of the gradient
        self._unread_samples, self._no_norm = 0, torch.zeros(1, device=self.device)
        self._clock, self._next_save = time.monotonic(), math.inf
        self._agreed_stop: ExitCode | None = None
        self._is_save_due = False
        self._saved_index: int | None = None  # in the history, of the weights in the model file
        self._replaces_results = True  # whether results in the folder are of an earlier run, until the first model
        self._is_trained = False  # from then on the network has the best weights
        self._trained_at = 0.0
        self._distributed: tuple[list[bool], DistributedDataParallel] | None = None
        self._is_compiled = False

    # Steps and validations

    def train(self) -> None:
        """Train to the end, save, and load the best weights.

        Raises UnfinishedError on divergence or a full disk; StoppedError after a signal.
        """
        task, progress = self.task, self.progress
        self._clock = time.monotonic()
        self._next_save = self._clock + _SAVE_EVERY_S
        if self._processes.is_alone and self.device.type == "cpu":
            cores.note_other_processes(task.runtime.threads)
        with output.progress("train") as bar, lost():
            while not self.is_finished:
                task.start_epoch(progress.epoch, self._length.epochs)
                model = self._model()
                task.network.train()
                for index in range(progress.step_in_epoch, task.steps_per_epoch):
                    if self._is_validation_due:
                        self._validate()
                    if self._is_at_end or self.is_out_of_patience:
                        break
                    self._step(model, task.batch(index))
                    bar.update(self.budget.fraction(progress.step, progress.elapsed_s), self._status)
                    self._save_and_poll()
                if not progress.is_validated:  # a resumed run may have validated here already
                    self._validate()
                progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
                self._save_and_poll()
        if not self.best_weights:
            raise UnfinishedError("validation", "no epoch had a finite loss", "use a lower --lr")
        self._save()
        if self.budget.total is not None and progress.step < self.budget.total and not self.is_out_of_patience:
            output.warn(
                "the time budget ended before the schedule did, because it is too short or steps became slower; "
                "--max-steps cannot repeat this run"
            )
        self._is_trained, self._trained_at = True, time.monotonic()
        task.network.load_state_dict(self.best_weights)

    def _step(self, model: Model, batch: Batch) -> None:
        """Take a training step on a batch, share by share."""
        task, progress, count = self.task, self.progress, self._processes.count
        if count > 1:
            seed_process(self.device, task.initial_seed, self._processes.rank, progress.step)
        lr = self.task.recipe.lr * self.budget.lr_factor(progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_factor"]
        self.optimizer.zero_grad()
        losses = []
        for number, share in enumerate(batch.shares, 1):
            is_last = number == len(batch.shares)
            with nullcontext() if is_last or count == 1 else model.no_sync():  # type: ignore[attr-defined]  # of DDP
                loss = self._loss(model, share)
                objective = loss.objective if count == 1 else loss.objective * count  # DDP takes the mean
                self.scaler.scale(objective).backward()
            losses.append(torch.stack([value.detach().float() for value in loss]))
        self.scaler.unscale_(self.optimizer)
        norm = self._clip_gradient()
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
            self._read_steps()
        self._tick()
        self.budget.observe(progress.step, progress.elapsed_s, progress.validation_s or self._estimated_validation_s())
        progress.total = self.budget.total

    def _loss(self, model: Model, share: Any) -> StepLoss:
        """The loss of a share of a batch. Raises InputError where `--compile` finds no compiler that works."""
        if self._is_compiled or not self.task.options.compile:
            return self.task.loss(model, share)
        try:
            loss = self.task.loss(model, share)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers fail in many ways
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            what = f"torch.compile fails here ({reason:.200})"
            raise InputError("--compile", what, "install a C++ compiler, or drop --compile") from error
        self._is_compiled = True
        return loss

    def _clip_gradient(self) -> Tensor:
        """Clip the norm of the gradient to `--grad-clip`; returns the norm (1,), which is 0 without clipping."""
        if not self.task.recipe.grad_clip:
            return self._no_norm
        return nn.utils.clip_grad_norm_(self.task.network.parameters(), self.task.recipe.grad_clip).reshape(1).float()

    def _read_steps(self) -> None:
        """Add the steps since the last call to the sums of the epoch; before a checkpoint is saved, too.

        Raises UnfinishedError naming the first step whose loss or gradient is not finite.
        """
        if not self._unread:
            return
        sums, first = self.progress.sums, self.progress.step - len(self._unread) + 1
        values = self._processes.sum(torch.stack(self._unread).double().cpu())
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
        self._read_steps()
        task, progress, started = self.task, self.progress, time.monotonic()
        self._processes.average_buffers(task.network)
        if not _are_finite(task.network.state_dict()):
            raise self._diverged("a weight", progress.step)
        metrics, weights = task.validate(self.poll), task.network.state_dict()
        if self.average is not None:
            with swapped_weights(task.network, self.average.tensors):
                averaged = task.validate(self.poll)
            if task.rank(averaged) > task.rank(metrics):
                metrics, weights = averaged, self.average.tensors
        metrics = self._processes.share(metrics)
        task.network.train()
        train = progress.sums.metrics()
        if not task.metrics_type.has_accuracy:
            train = Metrics(loss=train.loss, accuracy=math.nan, samples=train.samples)
        lr = task.recipe.lr * self.budget.lr_factor(progress.step - 1)
        entry = LoopEntry(epoch=progress.epoch, step=progress.step, lr=lr, train=train, validation=metrics)
        if self._is_better(metrics):
            progress.best_index = len(progress.history)
            self.best_weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
        progress.history.append(entry)
        progress.sums, progress.validation_s = RunningSums(), time.monotonic() - started
        self._tick()
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

    def _model(self) -> Model:
        """The network as steps call it: in several processes, with gradients that are means over all of them."""
        model: nn.Module = self.task.network
        if not self._processes.is_alone:
            trained = [parameter.requires_grad for parameter in model.parameters()]
            if self._distributed is None or self._distributed[0] != trained:  # DDP knows what is trained when it begins
                self._distributed = trained, DistributedDataParallel(model, gradient_as_bucket_view=True)
            model = self._distributed[1]
        return torch.compile(model, dynamic=False) if self.task.options.compile else model

    def _diverged(self, what: str, step: int) -> UnfinishedError:
        lr = self.task.recipe.lr
        fix = "use a lower --lr, or --precision fp32" if self.scaler.is_enabled() else "use a lower --lr"
        return UnfinishedError("--lr", f"{what} is not finite at step {step} (--lr {lr:g})", fix)

    # Where the run is

    @property
    def is_finished(self) -> bool:
        """Whether the step budget or the patience has ended, and the final weights are validated."""
        return self.progress.is_validated and (self._is_at_end or self.is_out_of_patience)

    @property
    def is_out_of_patience(self) -> bool:
        """Whether the last `patience` validations brought no improvement."""
        patience, progress = self._length.patience, self.progress
        best = -1 if progress.best_index is None else progress.best_index
        return patience is not None and len(progress.history) - (best + 1) >= patience

    @property
    def _is_at_end(self) -> bool:
        return self.budget.is_reached(self.progress.step, self.progress.elapsed_s)

    @property
    def _is_validation_due(self) -> bool:
        """Whether a validation within the epoch is due; the end of an epoch is always validated."""
        every, index = self.task.eval_every, self.progress.step_in_epoch
        return every is not None and index > 0 and index % every == 0 and not self.progress.is_validated

    def _status(self) -> str:
        """Epoch, training loss, last validation and throughput, for a progress bar of 80 columns."""
        progress, planned = self.progress, self.budget.total
        if self._processes.is_alone:
            self._read_steps()
        of = f" of {math.ceil(planned / self.task.steps_per_epoch)}" if planned else ""
        accuracy = progress.history[-1].validation.accuracy if progress.history else math.nan
        validation = f"val accuracy {accuracy:.4f}" if math.isfinite(accuracy) else ""
        pace = f"{progress.samples_seen / progress.elapsed_s:,.0f} samples/s" if progress.elapsed_s else ""
        loss = f"loss {progress.sums.metrics().loss:.4f}" if progress.sums.samples else ""
        parts = (f"epoch {progress.epoch}{of}", loss, validation, pace)
        return "  ".join(part for part in parts if part)

    def _estimated_validation_s(self) -> float:
        """The duration of the first validation in seconds, estimated from the time per training sample."""
        networks = 1 if self.average is None else 2
        per_sample_s = self.progress.elapsed_s / max(self.progress.samples_seen, 1)
        return _FORWARD_FRACTION * per_sample_s * self.task.validation_samples * networks

    def _tick(self) -> None:
        """Add the time since the last step or validation, and agree with the other processes on what follows."""
        now, is_main, requested = time.monotonic(), self._processes.is_main, self._stop.requested
        elapsed_s = self.progress.elapsed_s + now - self._clock
        self._clock = now
        self.progress.elapsed_s, stop, is_save_due = self._processes.maximum(
            elapsed_s if is_main else 0.0, float(requested or 0), is_main and now >= self._next_save
        )
        self._agreed_stop, self._is_save_due = ExitCode(int(stop)) if stop else None, bool(is_save_due)

    def poll(self) -> None:
        """Raise StoppedError after a signal; of several processes, none may stop where the others do not."""
        if self._processes.is_alone:
            self._stop.poll()

    def _save_and_poll(self) -> None:
        """Save the run if that is due; raise StoppedError after a signal, in this process or in another one."""
        if self._is_save_due:
            started = time.monotonic()
            self._save()
            ended = time.monotonic()
            self._next_save, self._is_save_due = ended + max(_SAVE_EVERY_S, _SAVE_RATIO * (ended - started)), False
        self.poll()
        if self._agreed_stop is not None:
            self._stop.stop(self._agreed_stop)

    # Files

    def start_or_resume(self) -> Result | None:
        """Write the first checkpoint, or restore the last one; returns the stored result of a finished run."""
        result = self._processes.share(self._start_or_resume() if self._processes.is_main else None)
        if result is None and not self._processes.is_alone:
            contents = self._processes.share(checkpoint_of(self))
            restore_checkpoint(self._folder.file(LAST), contents, self)
        return result

    def _start_or_resume(self) -> Result | None:
        """As `start_or_resume`, in the main process."""
        folder, task = self._folder, self.task
        files.check_room(folder.path, 2 * self._checkpoint_bytes())
        if not folder.is_resumed or not (folder.has_model or folder.file(LAST).exists()):  # killed at its start
            folder.start(task.stored, task.runtime.threads)
            self._save_checkpoint()
            return None
        path = folder.file(LAST)
        if not path.exists():
            raise InputError(path, "is missing, so that the run cannot continue", "start a new run with --overwrite")
        tensors, metadata = read_checkpoint(path)
        folder.check_checkpoint(metadata, task.data.name, task.data.fingerprint)
        restore_checkpoint(path, (tensors, metadata), self)
        self._replaces_results = self.progress.best_index is None
        result = self._stored_result() if self.is_finished else None
        if result is None:
            folder.write_options(task.stored, task.runtime.threads)
            self._note_continuation()
        return result

    def resume(self, progress: Progress, limits: object) -> None:
        """Continue from the progress of a run that had these `limits`."""
        self.progress = progress
        has_same_limits = limits == self.budget.limits
        self.budget.resume(progress.step, progress.total, progress.continuation, has_same_limits=has_same_limits)
        progress.continuation, progress.total = self.budget.continuation, self.budget.total

    @contextmanager
    def saved_on_stop(self) -> Iterator[None]:
        """Save the run if a signal or a failure ends the block; the error then states how to resume."""
        resume = f"continue with --resume {self._folder.path}"
        try:
            yield
        except StoppedError as request:
            if not self._is_trained:
                self._save()
            raise StoppedError(request.exit_code, self._saved_at(), resume) from request
        except LostProcessError as gone:
            raise LostProcessError(gone.where, gone.what, resume) from gone
        except UnfinishedError as failure:
            with suppress(UnfinishedError):  # the first failure is the one to report
                self._save_best()
            if isinstance(failure, DiskFullError):
                raise DiskFullError(failure.where, failure.what, failure.remedy, resume) from failure
            raise

    def finish(self, data_s: float, started: float) -> Result:
        """Test the network, and write and return the result; loading the data took `data_s` seconds."""
        if not self._processes.is_main:
            return self._processes.share(None)  # type: ignore[return-value]  # that of the main process
        progress = self.progress
        outcome = Outcome(progress.history, progress.best_index or 0, progress.step, progress.elapsed_s)
        evaluated = self.task.finish(self._folder, outcome, self._stop.poll)
        eval_s = time.monotonic() - self._trained_at
        timing = measure_timing(data_s, progress.elapsed_s, eval_s, progress.samples_seen, started)
        result = _write_result(self.task, self._folder, outcome, evaluated, timing, is_compiled=self._is_compiled)
        with suppress(LostProcessError):  # of which this process needs nothing any more
            self._processes.share(result)
        return result

    def _save(self) -> None:
        """Write the best model, if it has changed, then the checkpoint and the history."""
        self._save_best()
        self._save_checkpoint()
        if self._processes.is_main and not self._replaces_results:
            self._folder.write_history(self.progress.history)

    def _save_best(self) -> None:
        best = self.progress.best_index
        if self._processes.is_main and best is not None and best != self._saved_index:
            metadata = self.task.model_metadata(self.progress.history[best])
            write_tensors(self._folder.file(MODEL), self.best_weights, metadata)
            self._saved_index = best
            if self._replaces_results:
                self._folder.clear_results()
                self._replaces_results = False

    def _save_checkpoint(self) -> None:
        self._read_steps()
        self.task.complete_state()
        if self._processes.is_main:
            tensors, metadata = checkpoint_of(self)
            described = self.task.metadata() | {"options": self.task.stored.as_json()}
            write_tensors(self._folder.file(LAST), tensors, described | metadata)

    def _stored_result(self) -> Result | None:
        """The result of a finished run; None if its model file or result is missing, damaged or of fewer steps.

        The checkpoint has all that is needed to write both again.
        """
        try:
            read_tensors(self._folder.file(MODEL))
            stored = self._folder.result()
            kind = self.task.result_type
            result = None if stored is None else kind.from_json(stored, self._folder.file(RESULT))
        except InputError as error:
            output.warn(f"{error.fault}; it is written again from {LAST}")
            return None
        if result is None or result.steps != self.progress.step:
            return None
        epochs = output.counted(self.progress.epoch - 1, "epoch")
        more = "--patience ended it" if self.is_out_of_patience else "raise --epochs to continue"
        output.note(f"{self._folder.path} is already trained for {epochs}; {more}")
        return result

    def _note_continuation(self) -> None:
        """Print that the learning rate continues from where it is, if the length of the run was changed too late."""
        if not self.is_finished and self.budget.continuation is not None:
            lr = self.task.recipe.lr * self.budget.lr_factor(self.progress.step)
            output.note(
                f"the learning rate continues from {lr:.3g}, where the run stands; "
                "a new run of the new length has the whole schedule"
            )

    def _saved_at(self) -> str:
        progress = self.progress
        if not progress.step_in_epoch and progress.epoch > 1:
            return f"saved after epoch {progress.epoch - 1}"
        return f"saved at epoch {progress.epoch}, step {progress.step_in_epoch} of {self.task.steps_per_epoch}"

    def _checkpoint_bytes(self) -> int:
        """An estimate of the size of checkpoint and model file."""
        weights = sum(tensor.nbytes for tensor in self.task.network.state_dict().values())
        copies = 6 if self.average else 5  # weights, two moments, best weights, model file, moving average
        return copies * int(weights) + TYPICAL_HEADER_BYTES


def _on_device(task: Task[Any], network: nn.Module) -> nn.Module:
    """The network on its device; with synchronized batch norm on several GPUs."""
    network, processes = network.to(task.runtime.device), task.processes
    if processes.is_alone:
        return network
    on_gpu = task.runtime.device.type == "cuda"
    backend = "NCCL" if on_gpu else "gloo"
    output.status("processes", f"{processes.count}, connected with {backend}; each takes a share of every batch")
    if not any("BatchNorm" in type(module).__name__ for module in network.modules()):
        return network
    if on_gpu:
        output.note("batch normalization uses the statistics of the whole batch (SyncBatchNorm)")
        synchronized: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return synchronized
    output.note(
        "batch normalization uses the statistics of the share of each process; running statistics are their mean, so "
        "that the result differs from that of one process"
    )
    return network


@torch.no_grad()
def _are_finite(tensors: dict[str, Tensor]) -> bool:
    """Whether all values of all tensors are finite."""
    checks = [torch.isfinite(tensor).all() for tensor in tensors.values()]
    return not checks or bool(torch.stack(checks).all())


def _write_result(
    task: RunDescription[Result], folder: RunFolder, outcome: Outcome, evaluated: Any, timing: Any, *,
    is_compiled: bool = False,
) -> Result:  # fmt: skip
    """Write the result of a finished run to its folder, and return it."""
    best = outcome.best
    common = TrainingResult(
        command=task.options.command, version=__version__, seed=task.options.seed, **task.runtime.as_json(),
        compiled=is_compiled, data=task.data, model=task.model, epochs=outcome.history[-1].epoch,
        best_epoch=best.epoch, steps=outcome.steps, train=best.train, validation=best.validation,
        test=evaluated.test, timing=timing, out=str(folder.path), model_file=str(folder.file(MODEL)),
        plots=tuple(map(str, evaluated.plots)),
    )  # fmt: skip
    result = task.complete(common, outcome)
    folder.write_result(result.as_json())
    return result
