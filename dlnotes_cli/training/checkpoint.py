"""The checkpoint of a training run, and how a run starts, is saved, and resumes from it."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dlnotes_cli.seeding import random_state, restore_random_state
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import build, from_json, to_json
from dlnotes_cli.shell.errors import DiskFullError, InputError, StoppedError, UnfinishedError
from dlnotes_cli.training.distributed import LostProcessError
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.model_file import load_weights
from dlnotes_cli.training.model_metadata import Metadata
from dlnotes_cli.training.results import LoopEntry, RunProgress
from dlnotes_cli.training.resumed_options import check_same_options, read_json
from dlnotes_cli.training.run_folder import LAST, MODEL, RESULT, RunFolder
from dlnotes_cli.training.tensor_file import (
    CHECKPOINT_VERSION,
    TYPICAL_HEADER_BYTES,
    read_checkpoint,
    read_tensors,
    write_tensors,
)

if TYPE_CHECKING:
    from dlnotes_cli.training.task import Task

_NETWORK, _BEST, _AVERAGE, _OPTIMIZER, _RANDOM, _STATE = (
    "network.", "best.", "average.", "optimizer.", "random.", "state.",
)  # fmt: skip


Contents = tuple[dict[str, Tensor], Metadata]


def checkpoint_of(run: Any) -> Contents:
    """The state of a `TrainingRun` and of the random generators: tensors, and metadata of JSON values."""
    optimizer_state = {
        f"{parameter}.{name}": value
        for parameter, values in run.optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    sections = {
        _NETWORK: run.task.network.state_dict(), _BEST: run.best_weights,
        _AVERAGE: run.average.tensors if run.average else {}, _OPTIMIZER: optimizer_state,
        _RANDOM: random_state(run.device), _STATE: run.task.state,
    }  # fmt: skip
    tensors = {prefix + name: tensor for prefix, section in sections.items() for name, tensor in section.items()}
    metadata = {
        "kind": "checkpoint", "checkpoint_version": CHECKPOINT_VERSION, "limits": run.budget.limits,
        "position": to_json(run.progress), "loss_scale": run.scaler.state_dict(),
    }  # fmt: skip
    return tensors, metadata


def restore_checkpoint(path: Path, contents: Contents, run: Any) -> None:
    """Restore a `TrainingRun` from what was read from `path`.

    The number of steps that was chosen for a time budget is kept if the limits are still the same. Raises InputError
    where the contents do not fit the run.
    """
    tensors, metadata = contents

    def section(prefix: str, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        return {name.removeprefix(prefix): t.to(device) for name, t in tensors.items() if name.startswith(prefix)}

    load_weights(path, run.task.network, section(_NETWORK, run.device), assign=False)
    run.best_weights, run.task.state = section(_BEST, run.device), section(_STATE, run.device)
    if run.average is not None:
        run.average.tensors = section(_AVERAGE, run.device)
    optimizer_state: dict[int, dict[str, Tensor]] = {}
    for key, value in section(_OPTIMIZER).items():
        parameter, _, name = key.partition(".")
        optimizer_state.setdefault(int(parameter), {})[name] = value
    try:
        run.resume(_progress(metadata["position"], run.task.metrics_type), metadata["limits"])
        groups = run.optimizer.state_dict()["param_groups"]  # whose learning rates are set in each step
        run.optimizer.load_state_dict({"state": optimizer_state, "param_groups": groups})
        restore_random_state(section(_RANDOM), run.device)
        run.scaler.load_state_dict(metadata["loss_scale"])
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        what = f"is not a checkpoint of this run ({error!r})"
        raise InputError(path, what, "start a new run in another --out") from error


def _progress(stored: dict[str, Any], metrics_type: type[Metrics]) -> RunProgress:
    """The progress from its JSON values."""
    history = [
        build(LoopEntry, {**entry, "validation": build(metrics_type, entry["validation"])})
        for entry in stored["history"]
    ]
    return build(RunProgress, {**stored, "history": history})


_SAVE_EVERY_S = 10.0  # at least; longer for runs whose checkpoints take long
_SAVE_RATIO = 20  # time between two checkpoints, at least, as a multiple of the time that one takes


class RunFiles:
    """The checkpoint, the model file and the history of a run in its folder.

    All processes of a run call the same methods, but only the main one reads and writes files. The others start from
    its checkpoint and get its result.
    """

    def __init__(self, run: Any, folder: RunFolder) -> None:
        """`run` is a `TrainingRun`."""
        self.run, self.folder = run, folder
        self._task: Task[Any] = run.task
        self._processes = self._task.processes
        self._next_save = math.inf
        self._saved_index: int | None = None  # in the history, of the weights in the model file
        self._replaces_results = True  # whether results in the folder are of an earlier run, until the first model

    @property
    def is_save_due(self) -> bool:
        """Whether it is time for a checkpoint; the main process decides."""
        return self._processes.is_main and time.monotonic() >= self._next_save

    def start_or_resume(self) -> Any:
        """Write the first checkpoint, or restore the last one; returns the stored result of a finished run."""
        is_main = self._processes.is_main
        result = self._processes.broadcast(self._start_or_resume() if is_main else None)
        if result is None and not self._processes.is_alone:
            tensors, metadata = checkpoint_of(self.run) if is_main else ({}, {})
            on_cpu = {name: tensor.cpu() for name, tensor in tensors.items()}
            contents = self._processes.broadcast((on_cpu, metadata))
            if not is_main:
                restore_checkpoint(self.folder.file(LAST), contents, self.run)
        self._next_save = time.monotonic() + _SAVE_EVERY_S
        return result

    def _start_or_resume(self) -> Any:
        """As `start_or_resume`, in the main process."""
        folder, task, path = self.folder, self._task, self.folder.file(LAST)
        threads = task.runtime.threads * self._processes.local_count
        copies = 6 if self.run.average else 5  # weights, two moments, best weights, model file, moving average
        weights = sum(tensor.nbytes for tensor in task.network.state_dict().values())
        files.check_room(folder.path, 2 * (copies * weights + TYPICAL_HEADER_BYTES))
        if not folder.is_resumed or not (folder.has_model or path.exists()):  # killed at its start
            folder.start(task.stored, threads)
            self._save_checkpoint()
            return None
        if not path.exists():
            raise InputError(path, "is missing, so that the run cannot continue", "start a new run with --overwrite")
        contents = read_checkpoint(path)
        check_same_options(folder.path, contents[1].get("options", {}), task.stored)
        folder.check_same_data(LAST, contents[1], task.data)
        restore_checkpoint(path, contents, self.run)
        self._replaces_results = self.run.progress.best_index is None
        result = self._stored_result() if self.run.is_finished else None
        if result is None:
            folder.write_options(task.stored, threads)
        return result

    def _stored_result(self) -> Any:
        """The result of a finished run; None if its model file or result is missing, damaged or of fewer steps.

        The checkpoint has all that is needed to write both again.
        """
        path = self.folder.file(RESULT)
        try:
            read_tensors(self.folder.file(MODEL))
            stored = read_json(path)
            stored.pop("schema_version", None)
            result: Any = from_json(self._task.result_type, stored, path)
        except FileNotFoundError:
            return None
        except InputError as error:
            output.warn(f"{error.fault}; it is written again from {LAST}")
            return None
        if result.steps != self.run.progress.step:
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
