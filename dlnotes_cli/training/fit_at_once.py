"""The fit of a model without steps, as a logistic regression, from options to a finished run folder."""

import time
from abc import abstractmethod
from typing import ClassVar

from dlnotes_cli.device import choose_device
from dlnotes_cli.shell.errors import InputError, StoppedError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.distributed import Processes
from dlnotes_cli.training.results import Result, RunProgress, measure_timing
from dlnotes_cli.training.run_folder import MODEL, RunFolder
from dlnotes_cli.training.task import Poll, RunDescription
from dlnotes_cli.training.tensor_file import read_tensors, write_tensors


class DirectTask(RunDescription[Result]):
    """A model that is fitted at once, as a logistic regression is, without steps on batches."""

    kept_on_stop: ClassVar[str] = "what was computed so far is cached"  # for the user who stops the run

    @abstractmethod
    def load(self, poll: Poll) -> None:
        """Read the data, and set what describes the run, `stored` and `runtime` first. Raises InputError."""

    @abstractmethod
    def solve(self, poll: Poll) -> RunProgress:
        """Fit the model, and set the network."""


def fit_at_once(task: DirectTask[Result]) -> Result:
    """Fit a model without steps, test it and write its run folder; a run that is resumed is fitted again.

    Raises errors as `fit`.
    """
    started = time.monotonic()
    if not Processes.from_environment().is_alone:
        raise InputError("processes", "this model is fitted by one process", "start it without torchrun")
    folder = RunFolder(task.options)
    choose_device(task.options.device)  # an unavailable one is refused before data is read
    with StopRequest() as stop, folder:
        try:
            task.load(stop.poll)
            if folder.is_resumed and folder.has_model:
                folder.check_same_data(MODEL, read_tensors(folder.file(MODEL))[1], task.data)
            loaded = time.monotonic()
            progress = task.solve(stop.poll)
        except StoppedError as request:
            fix = "run the same command again to continue"
            if not folder.has_model or folder.is_resumed:  # otherwise it is of a run that this one would have replaced
                fix = f"continue with --resume {folder.path}"
                if not folder.is_resumed:
                    folder.start(task.stored, task.runtime.threads)
            raise StoppedError(request.exit_code, task.kept_on_stop, fix) from request
        folder.start(task.stored, task.runtime.threads)
        task.announce()
        write_tensors(folder.file(MODEL), task.network.state_dict(), task.model_metadata(progress.best))
        folder.clear_results()
        folder.write_history(progress.history)
        evaluated = task.finish(folder, progress, stop.poll)
        eval_s = time.monotonic() - loaded - progress.elapsed_s
        timing = measure_timing(loaded - started, progress.elapsed_s, eval_s, progress.samples_seen, started)
        return task.write_result(folder, progress, evaluated, timing, is_compiled=False)
