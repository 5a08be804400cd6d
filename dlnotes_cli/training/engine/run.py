"""A training run in its folder: started or resumed, saved, stopped and finished, whatever is trained."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple

import torch

from dlnotes_cli.seeding import seed_process
from dlnotes_cli.shell import cores, files, output
from dlnotes_cli.shell.errors import DiskFullError, ExitCode, InputError, StoppedError, UnfinishedError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training import run_folder
from dlnotes_cli.training.engine.checkpoint import checkpoint_of, restore_checkpoint, save_checkpoint
from dlnotes_cli.training.engine.distributed import ALONE, LostProcessError, Processes
from dlnotes_cli.training.engine.loop import LoopSettings, Trainer, TrainingJob
from dlnotes_cli.training.engine.loss_scaling import LossScaling
from dlnotes_cli.training.engine.step_budget import StepBudget
from dlnotes_cli.training.engine.step_forward import MEASURED_STEPS
from dlnotes_cli.training.history import LoopEntry
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.options import TrainingRunOptions
from dlnotes_cli.training.recipes import Recipe, RunLength
from dlnotes_cli.training.record import Outcome, Result, RunRecord, measure_timing
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.training.schedule import make_schedule
from dlnotes_cli.training.tensor_file import TYPICAL_HEADER_BYTES, read_checkpoint, read_tensors, write_tensors

_SAVE_EVERY_S = 10.0  # at least; longer for runs whose checkpoints take long
_SAVE_RATIO = 20  # time between two checkpoints, at least, as a multiple of the time that one takes


def make_trainer(
    recipe: Recipe,
    length: RunLength,
    job: TrainingJob,
    optimizer: torch.optim.Optimizer,
    stop: StopRequest,
    eval_every: int | None = None,
    processes: Processes = ALONE,
) -> Trainer:
    """The trainer of a job with the schedule and limits of a run; `eval_every` is in steps, None is every epoch."""
    limits = (length.max_steps, length.epochs and length.epochs * job.steps_per_epoch)
    max_steps = min((limit for limit in limits if limit is not None), default=None)
    schedule = make_schedule(recipe.schedule, job.steps_per_epoch)
    settings = LoopSettings(recipe.lr, recipe.grad_clip or None, length.patience, recipe.ema, eval_every)
    budget = StepBudget(schedule, max_steps, length.time_budget)
    runtime = job.runtime
    scaling = LossScaling(runtime.device.type, optimizer) if runtime.precision == "fp16" else None
    return Trainer(job, optimizer, budget, settings, poll_of(processes, stop), processes, scaling)


def poll_of(processes: Processes, stop: StopRequest) -> Callable[[], None]:
    """What is called between batches without steps: of several processes, none may stop there without the others."""
    return stop.poll if processes.is_alone else lambda: None


class Agreement(NamedTuple):
    """What all processes do after a step, because one of them has to."""

    stop: ExitCode | None = None
    is_save_due: bool = False


class TrainingRun(Generic[Result]):
    """A trainer and the files of its run: `resume_or_start`, then inside `saved_on_stop`, `train` and `finish`.

    All processes of a run take these steps, but only the main one reads and writes files. The others start from its
    checkpoint and get its result.
    """

    def __init__(
        self,
        options: TrainingRunOptions,
        folder: RunFolder,
        record: RunRecord[Result],
        trainer: Trainer,
        stop: StopRequest,
    ) -> None:
        self.options, self.folder, self.trainer = options, folder, trainer
        self._record, self._stop, self._processes = record, stop, trainer.processes
        self._next_save, self._agreed = math.inf, Agreement()
        if not self._processes.is_alone:
            trainer.synchronize = self._synchronize
            seed, rank = torch.initial_seed(), self._processes.place.rank
            trainer.prepare_step = partial(seed_process, record.runtime.device, seed, rank)
        self._saved_index: int | None = None  # in the history, of the weights in the model file
        self._replaces_results = True  # whether results in the folder are of an earlier run, until the first model
        self._trained_at: float | None = None  # when training ended; from then on the network has the best weights

    def resume_or_start(self) -> Result | None:
        """Write the first checkpoint, or restore the last one; returns the stored result of a finished run."""
        if self._processes.is_alone:
            return self._resume_or_start()
        result = self._shared_result(self._resume_or_start() if self._processes.is_main else None)
        if result is None:
            self._share_checkpoint()
        return result

    def _resume_or_start(self) -> Result | None:
        """As `resume_or_start`, in the main process."""
        files.check_room(self.folder.path, 2 * self._checkpoint_bytes())
        threads = self._record.runtime.threads
        if not self.folder.is_resumed or self._was_killed_at_start:
            self.folder.start(self.options, threads)
            self._save_checkpoint()
            return None
        path, device = self.folder.file(run_folder.LAST), self._record.runtime.device
        if not path.exists():
            raise InputError(path, "is missing, so that the run cannot continue", "start a new run with --overwrite")
        tensors, metadata = read_checkpoint(path)
        self.folder.check_checkpoint(metadata, self._record.data.name, self._record.data.fingerprint)
        restore_checkpoint(path, tensors, metadata, self.trainer, device)
        self._replaces_results = self.trainer.state.best_index is None
        result = self._stored_result() if self.trainer.is_finished else None
        if result is None:
            self.folder.write_options(self.options, threads)
            self._note_continuation()
        return result

    @contextmanager
    def saved_on_stop(self) -> Iterator[None]:
        """Save the run if a signal or a failure ends the `with` block; a StoppedError then states how to resume."""
        try:
            yield
        except StoppedError as request:
            raise self._stopped(request) from request
        except LostProcessError as lost:
            raise LostProcessError(lost.where, lost.what, f"continue with --resume {self.folder.path}") from lost
        except UnfinishedError as failure:
            with suppress(UnfinishedError):  # the first failure is the one to report
                self._save_best()
            if isinstance(failure, DiskFullError):
                then = f"continue with --resume {self.folder.path}"
                raise DiskFullError(failure.where, failure.what, failure.remedy, then) from failure
            raise

    def train(self, report: Callable[[LoopEntry], None] = lambda _entry: None) -> None:
        """Train to the end, save, and load the best weights; `report` is called with each entry of the history.

        Raises UnfinishedError on divergence or a full disk; StoppedError after a signal.
        """
        trainer = self.trainer
        self._next_save = time.monotonic() + _SAVE_EVERY_S
        trainer.start()
        decides_at = trainer.state.step + MEASURED_STEPS
        if self._processes.is_alone and self._record.runtime.device.type == "cpu":
            cores.note_other_processes(self._record.runtime.threads)
        with output.progress("train") as progress:
            while not trainer.is_finished:
                entry = trainer.advance()
                if entry is None:
                    progress.update(trainer.fraction, trainer.status)
                else:
                    report(entry)
                    trainer.restart_clock()
                if self._is_save_due:
                    self._save_and_schedule_next()
                if trainer.job.forward.is_undecided and trainer.state.step >= decides_at:
                    trainer.job.forward.decide(trainer.remaining_s)
                self._poll()
        if not trainer.best_weights:
            raise UnfinishedError("validation", "no epoch had a finite loss", "use a lower --lr")
        self._save()
        if not trainer.is_annealed:
            output.warn(
                "the time budget ended before the schedule did, because it is too short or steps became slower; "
                "--max-steps cannot repeat this run"
            )
        self._trained_at = time.monotonic()
        trainer.job.network.load_state_dict(trainer.best_weights)

    def finish(self, test: Evaluation | None, plots: Sequence[Path], data_s: float, started: float) -> Result:
        """Write and return the result; loading the data took `data_s` seconds, and the run began at `started`."""
        state = self.trainer.state
        if state.best_index is None or self._trained_at is None:
            raise ValueError("finish() comes after train()")
        eval_s = time.monotonic() - self._trained_at
        timing = measure_timing(data_s, state.elapsed_s, eval_s, state.samples_seen, started)
        compiled = self.trainer.job.forward.is_compiled
        outcome = Outcome(state.history, state.best_index, state.step, test, plots, timing, compiled)
        result = self._record.finish(self.folder, outcome)
        with suppress(LostProcessError):  # of which this process needs nothing any more
            self._processes.share(result.as_json())
        return result

    def followed(self) -> Result:
        """The result of the main process, which it writes in `finish`."""
        result = self._shared_result(None)
        if result is None:
            raise ValueError("the main process has a result in finish()")
        return result

    def _shared_result(self, result: Result | None) -> Result | None:
        """The result of the main process, in all processes."""
        stored = self._processes.share(None if result is None else result.as_json())
        if stored is None or self._processes.is_main:
            return result
        return self._record.result_type.from_json(stored, self.folder.file(run_folder.RESULT))

    def _share_checkpoint(self) -> None:
        """Bring the trainers of the other processes to where that of the main process is."""
        processes, device, path = self._processes, self._record.runtime.device, self.folder.file(run_folder.LAST)
        tensors, metadata = checkpoint_of(self.trainer, device)
        metadata, tensors = processes.share(metadata), processes.share_tensors(tensors)
        if not processes.is_main:
            restore_checkpoint(path, tensors, metadata, self.trainer, device)

    def _synchronize(self, elapsed_s: float) -> float:
        """Agree with the other processes on what follows a step; returns the elapsed seconds of the main process."""
        is_main, requested = self._processes.is_main, self._stop.requested
        elapsed_s, interrupted, terminated, due = self._processes.sums(
            elapsed_s if is_main else 0.0,
            requested is ExitCode.INTERRUPTED,
            requested is ExitCode.TERMINATED,
            is_main and time.monotonic() >= self._next_save,
        )
        stop = ExitCode.INTERRUPTED if interrupted else ExitCode.TERMINATED if terminated else None
        self._agreed = Agreement(stop, bool(due))
        return elapsed_s

    @property
    def _is_save_due(self) -> bool:
        if self._processes.is_alone:
            return time.monotonic() >= self._next_save
        return self._agreed.is_save_due

    def _poll(self) -> None:
        """Raise StoppedError after a signal, in this process or in another one."""
        if self._processes.is_alone:
            self._stop.poll()
        elif self._agreed.stop is not None:
            self._stop.stop(self._agreed.stop)

    def _note_continuation(self) -> None:
        """Print that the learning rate continues from where it is, if the length of the run was changed too late."""
        trainer = self.trainer
        if trainer.is_finished or trainer.budget.continuation is None:
            return
        lr = trainer.settings.lr * trainer.budget.lr_factor(trainer.state.step)
        output.note(
            f"the learning rate continues from {lr:.3g}, where the run stands; "
            "a new run of the new length has the whole schedule"
        )

    @property
    def _was_killed_at_start(self) -> bool:
        """Whether the folder has options but neither a checkpoint nor a model."""
        return not self.folder.has_model and not self.folder.file(run_folder.LAST).exists()

    def _stored_result(self) -> Result | None:
        """The result of a finished run; None if its model file or result is missing, damaged or of fewer steps.

        The checkpoint has all that is needed to write both again.
        """
        path = self.folder.file(run_folder.RESULT)
        try:
            read_tensors(self.folder.file(run_folder.MODEL))
            stored = self.folder.result()
            result = None if stored is None else self._record.result_type.from_json(stored, path)
        except InputError as error:
            output.warn(f"{error.fault}; it is written again from {run_folder.LAST}")
            return None
        if result is None or result.steps != self.trainer.state.step:
            return None
        epochs = self.trainer.state.epoch - 1
        more = "--patience ended it" if self.trainer.is_out_of_patience else "raise --epochs to continue"
        output.note(f"{self.folder.path} is already trained for {output.counted(epochs, 'epoch')}; {more}")
        return result

    def _save_and_schedule_next(self) -> None:
        """Save, and set the time of the next checkpoint on the monotonic clock."""
        started = time.monotonic()
        self._save()
        ended = time.monotonic()
        self._next_save = ended + max(_SAVE_EVERY_S, _SAVE_RATIO * (ended - started))
        self._agreed = self._agreed._replace(is_save_due=False)

    def _save(self) -> None:
        """Write the best model, if it has changed, then the checkpoint and the history."""
        self._save_best()
        self._save_checkpoint()
        if self._processes.is_main and not self._replaces_results:
            self.folder.write_history(self.trainer.state.history)

    def _save_best(self) -> None:
        best = self.trainer.state.best_index
        if self._processes.is_main and best is not None and best != self._saved_index:
            metadata = self._record.model_metadata(self.trainer.state.history[best])
            write_tensors(self.folder.file(run_folder.MODEL), self.trainer.best_weights, metadata)
            self._saved_index = best
            if self._replaces_results:
                self.folder.clear_results()
                self._replaces_results = False

    def _save_checkpoint(self) -> None:
        self.trainer.read_steps()
        self.trainer.job.complete_recurrent_state()
        if not self._processes.is_main:
            return
        path, device = self.folder.file(run_folder.LAST), self._record.runtime.device
        save_checkpoint(path, self.trainer, device, self._record.identity() | {"options": self.options.as_json()})

    def _stopped(self, request: StoppedError) -> StoppedError:
        """Save the run, unless it is trained and saved; returns the error, which states how to resume."""
        if self._trained_at is None:
            self._save()
        state = self.trainer.state
        what = f"saved at epoch {state.epoch}, step {state.step_in_epoch} of {self.trainer.job.steps_per_epoch}"
        if not state.step_in_epoch and state.epoch > 1:
            what = f"saved after epoch {state.epoch - 1}"
        return StoppedError(request.exit_code, what, f"continue with --resume {self.folder.path}")

    def _checkpoint_bytes(self) -> int:
        """An estimate of the size of checkpoint and model file."""
        weights = sum(tensor.nbytes for tensor in self.trainer.job.network.state_dict().values())
        copies = 6 if self.trainer.average else 5  # weights, two moments, best weights, model file, moving average
        return copies * int(weights) + TYPICAL_HEADER_BYTES
