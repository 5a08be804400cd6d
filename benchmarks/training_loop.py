"""Training steps without validation and run folder: the only module of the benchmarks that knows `fit`."""

from collections.abc import Callable
from typing import Any
from unittest import mock

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.device import Runtime
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.classifier import ClassifierTask
from dlnotes_cli.training.fit import TrainingRun
from dlnotes_cli.training.recipes import RunLength
from dlnotes_cli.training.results import RunProgress
from dlnotes_cli.training.task import Task


def load_given(task: ClassifierTask[Any], dataset: DataSet, runtime: Runtime) -> None:
    """Load a task with a data set in place of the one that its options name, for training on `runtime`."""
    with mock.patch.object(task, "load_dataset", return_value=dataset):
        task.load()
    task.runtime = runtime


def training_steps(task: Task[Any], batch_size: int, steps: int) -> Callable[[], None]:
    """`steps` training steps of a task with data, network and runtime; each call trains on, from the first batch."""
    task.prepare(batch_size)
    length = RunLength(batch_size, max_steps=steps)
    run = TrainingRun(task, length, StopRequest())
    model = run._callable()  # noqa: SLF001  # `train` also validates and saves

    def take() -> None:
        run.progress = RunProgress()
        task.network.train()
        for step in range(steps):
            epoch, index = divmod(step, task.steps_per_epoch)
            if index == 0:
                task.start_epoch(epoch + 1, None)
            run._step(model, task.batch(index))  # noqa: SLF001
        run.read_steps()

    return take


def take_steps(task: Task[Any], batch_size: int, steps: int) -> None:
    """Take `steps` training steps of a task with data, network and runtime."""
    training_steps(task, batch_size, steps)()
