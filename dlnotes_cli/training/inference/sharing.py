"""How several processes share the batches of a trained classifier: `--devices` of `evaluate` and `predict`.

The batches are those of one process, and each is computed as there, so that the results are the same bits at the same
number of threads for each process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from dlnotes_cli.device import check_devices, choose_device
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.engine.distributed import ALONE, LostProcessError, Place, Processes
from dlnotes_cli.training.engine.launch import Task, joined
from dlnotes_cli.training.inference.options import SharedClassifierOptions
from dlnotes_cli.training.onnx_file import is_onnx

Options = TypeVar("Options", bound=SharedClassifierOptions)


def options_of_process(options: Options) -> Options:
    """The options with which this process opens the classifier: its own GPU, and its share of the threads.

    Raises InputError for more GPUs than there are.
    """
    if options.devices == 1:
        return options
    threads = max(1, options.thread_count // options.devices)
    if is_onnx(options.model):  # which runs on the CPU, and needs no torch for that
        return replace(options, threads=threads)
    check_devices(options.device, options.devices)
    place = Place.from_environment()
    if place is None or choose_device(options.device).type != "cuda":
        return replace(options, threads=threads)
    return replace(options, device=f"cuda:{place.local_rank}", threads=threads)


def check_one_process(options: SharedClassifierOptions) -> None:
    """Refuse several processes for a classifier of texts. Raises InputError."""
    if options.devices > 1:
        raise InputError("--devices", "a classifier of texts runs in one process", "drop --devices")


@contextmanager
def shared(options: SharedClassifierOptions, task: Task, batches: int | None = None) -> Iterator[Processes]:
    """The processes that share `batches`, for the duration of the block; one alone if there are too few batches.

    The others call `task` with the same options, in which they join here without knowing the number of batches. Raises
    UnfinishedError where another process fails.
    """
    if options.devices == 1 or (batches is not None and batches < options.devices):
        yield ALONE
        return
    if is_onnx(options.model):
        options = replace(options, device="cpu")
    with joined(options, task) as processes:
        try:
            yield processes
        except LostProcessError as lost:
            raise LostProcessError(lost.where, lost.what, "run again") from lost
