"""The files of a training run: it is started or resumed, saved while it trains, and saved where it stops."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic

from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import from_json, to_json
from dlnotes_cli.shell.errors import DiskFullError, InputError, StoppedError, UnfinishedError
from dlnotes_cli.training.checkpoint import Contents, checkpoint_of, restore_checkpoint
from dlnotes_cli.training.distributed import LostProcessError
from dlnotes_cli.training.results import Result
from dlnotes_cli.training.run_folder import LAST, MODEL, RESULT, RunFolder
from dlnotes_cli.training.tensor_file import TYPICAL_HEADER_BYTES, read_checkpoint, read_tensors, write_tensors

if TYPE_CHECKING:
    from dlnotes_cli.training.task import Task

_SAVE_EVERY_S = 10.0  # at least; longer for runs whose checkpoints take long
_SAVE_RATIO = 20  # time between two checkpoints, at least, as a multiple of the time that one takes


class RunFiles(Generic[Result]):
    """The checkpoint, the model file and the history of a run in its folder.

    All processes of a run call the same methods, but only the main one reads and writes files. The others start from
    its checkpoint and get its result.
    """

    def __init__(self, run: Any, folder: RunFolder) -> None:
        """`run` is a `TrainingRun`."""
        self.run, self.folder = run, folder
        self._task: Task[Result] = run.task
        self._processes = self._task.processes
        self._next_save = math.inf
        self._saved_index: int | None = None  # in the history, of the weights in the model file
        self._replaces_results = True  # whether results in the folder are of an earlier run, until the first model

    @property
    def is_save_due(self) -> bool:
        """Whether it is time for a checkpoint; the main process decides."""
        return self._processes.is_main and time.monotonic() >= self._next_save

    def start_or_resume(self) -> Result | None:
        """Write the first checkpoint, or restore the last one; returns the stored result of a finished run."""
        result: Result | None = self._processes.share(self._start_or_resume() if self._processes.is_main else None)
        if result is None and not self._processes.is_alone:
            contents = self._processes.share(_on_cpu(checkpoint_of(self.run)) if self._processes.is_main else None)
            if contents is not None and not self._processes.is_main:
                restore_checkpoint(self.folder.file(LAST), contents, self.run)
        self._next_save = time.monotonic() + _SAVE_EVERY_S
        return result

    def _start_or_resume(self) -> Result | None:
        """As `start_or_resume`, in the main process."""
        folder, task, path = self.folder, self._task, self.folder.file(LAST)
        threads = task.runtime.threads * self._processes.local_count
        files.check_room(folder.path, 2 * self._checkpoint_bytes())
        if not folder.is_resumed or not (folder.has_model or path.exists()):  # killed at its start
            folder.start(task.stored, threads)
            self._save_checkpoint()
            return None
        if not path.exists():
            raise InputError(path, "is missing, so that the run cannot continue", "start a new run with --overwrite")
        tensors, metadata = read_checkpoint(path)
        folder.check_checkpoint(metadata, task.data.name, task.data.fingerprint)
        restore_checkpoint(path, (tensors, metadata), self.run)
        self._replaces_results = self.run.progress.best_index is None
        result = self._stored_result() if self.run.is_finished else None
        if result is None:
            folder.write_options(task.stored, threads)
        return result

    def _stored_result(self) -> Result | None:
        """The result of a finished run; None if its model file or result is missing, damaged or of fewer steps.

        The checkpoint has all that is needed to write both again.
        """
        try:
            read_tensors(self.folder.file(MODEL))
            stored = self.folder.result()
            kind, path = self._task.result_type, self.folder.file(RESULT)
            result = None if stored is None else from_json(kind, stored, path)
        except InputError as error:
            output.warn(f"{error.fault}; it is written again from {LAST}")
            return None
        if result is None or result.steps != self.run.progress.step:
            return None
        epochs = output.counted(self.run.progress.epoch - 1, "epoch")
        more = "--patience ended it" if self.run.is_out_of_patience else "raise --epochs to continue"
        output.note(f"{self.folder.path} is already trained for {epochs}; {more}")
        return result

    def save_and_schedule_next(self) -> None:
        """Save, and set the time of the next checkpoint."""
        started = time.monotonic()
        self.save()
        ended = time.monotonic()
        self._next_save = ended + max(_SAVE_EVERY_S, _SAVE_RATIO * (ended - started))

    def save(self) -> None:
        """Write the best model, if it has changed, then the checkpoint and the history."""
        self._save_best()
        self._save_checkpoint()
        if self._processes.is_main and not self._replaces_results:
            self.folder.write_history(self.run.progress.history)

    def _save_best(self) -> None:
        best = self.run.progress.best_index
        if self._processes.is_main and best is not None and best != self._saved_index:
            metadata = self._task.model_metadata(self.run.progress.history[best])
            write_tensors(self.folder.file(MODEL), self.run.best_weights, metadata)
            self._saved_index = best
            if self._replaces_results:
                self.folder.clear_results()
                self._replaces_results = False

    def _save_checkpoint(self) -> None:
        self.run.read_steps()
        self._task.complete_state()
        if self._processes.is_main:
            tensors, metadata = checkpoint_of(self.run)
            described = self._task.metadata() | {"options": to_json(self._task.stored)}
            write_tensors(self.folder.file(LAST), tensors, described | metadata)

    @contextmanager
    def saved_on_stop(self) -> Iterator[None]:
        """Save the run if a signal or a failure ends the block; the error then states how to resume."""
        resume = f"continue with --resume {self.folder.path}"
        try:
            yield
        except StoppedError as request:
            if not self.run.is_trained:
                self.save()
            raise StoppedError(request.exit_code, self._saved_at(), resume) from request
        except LostProcessError as gone:
            raise LostProcessError(gone.where, gone.what, resume) from gone
        except UnfinishedError as failure:
            with suppress(UnfinishedError):  # the first failure is the one to report
                self._save_best()
            if isinstance(failure, DiskFullError):
                raise DiskFullError(failure.where, failure.what, failure.remedy, resume) from failure
            raise

    def _saved_at(self) -> str:
        progress = self.run.progress
        if not progress.step_in_epoch and progress.epoch > 1:
            return f"saved after epoch {progress.epoch - 1}"
        return f"saved at epoch {progress.epoch}, step {progress.step_in_epoch} of {self._task.steps_per_epoch}"

    def _checkpoint_bytes(self) -> int:
        """An estimate of the size of checkpoint and model file."""
        weights = sum(tensor.nbytes for tensor in self._task.network.state_dict().values())
        copies = 6 if self.run.average else 5  # weights, two moments, best weights, model file, moving average
        return copies * int(weights) + TYPICAL_HEADER_BYTES


def _on_cpu(contents: Contents) -> Contents:
    tensors, metadata = contents
    return {name: tensor.cpu() for name, tensor in tensors.items()}, metadata
