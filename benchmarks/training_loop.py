"""The training loop of dlnotes for a fixed number of steps: the only module of the benchmarks that knows the loop."""

from typing import Any

from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.engine.loop import LoopSettings, Trainer, TrainingJob
from dlnotes_cli.training.engine.loss_scaling import LossScaling
from dlnotes_cli.training.engine.step_budget import StepBudget
from dlnotes_cli.training.fit import TrainingRun
from dlnotes_cli.training.optimizers import make_optimizer
from dlnotes_cli.training.recipes import OptimizerSettings, RunLength
from dlnotes_cli.training.run_folder import FollowedFolder
from dlnotes_cli.training.schedule import Schedule
from dlnotes_cli.training.task import Task


def take_steps(task: Task[Any], batch_size: int, steps: int) -> None:
    """Take `steps` training steps of a task with data, network and runtime, without validation and run folder."""
    task.prepare(batch_size)
    length = RunLength(batch_size, max_steps=steps)
    run = TrainingRun(task, FollowedFolder(task.options), length, StopRequest())
    model = run._model()  # noqa: SLF001  # `train` also validates and saves
    task.network.train()
    for step in range(steps):
        epoch, index = divmod(step, task.steps_per_epoch)
        if index == 0:
            task.start_epoch(epoch + 1, None)
        run._step(model, task.batch(index))  # noqa: SLF001
    run._read_steps()  # noqa: SLF001


def train_steps(
    job: TrainingJob, optimizer: OptimizerSettings, steps: int, *, grad_clip: float | None = None, ema: float = 0.0
) -> None:
    """Train for `steps` steps at a constant learning rate, without a run folder.

    The loop validates at the end of an epoch and of the run. A job with a single validation sample makes that
    negligible, so that the time is comparable with loops that do not validate.
    """
    budget = StepBudget(Schedule("constant", 1), steps, None)
    settings = LoopSettings(optimizer.lr, grad_clip=grad_clip, ema=ema)
    made = make_optimizer(job.network, optimizer)
    scaling = LossScaling(job.runtime.device.type, made) if job.runtime.precision == "fp16" else None
    trainer = Trainer(job, made, budget, settings, scaling=scaling)
    trainer.start()
    while not trainer.is_finished:
        trainer.advance()
