"""The training loop of dlnotes for a fixed number of steps: the only module of the benchmarks that knows the engine."""

from dlnotes_cli.training.engine.loop import Job, LoopOptions, Trainer
from dlnotes_cli.training.engine.step_budget import Horizon
from dlnotes_cli.training.optimizers import OptimizerOptions, make_optimizer
from dlnotes_cli.training.schedule import Schedule


def train_steps(
    job: Job, optimizer: OptimizerOptions, steps: int, *, grad_clip: float | None = None, ema: float = 0.0
) -> None:
    """Train for `steps` steps at a constant learning rate, without a run folder.

    The loop validates at the end of an epoch and of the run. A job with a single validation sample makes that
    negligible, so that the time is comparable with loops that do not validate.
    """
    schedule = Schedule("constant", 1)
    options = LoopOptions(optimizer.lr, grad_clip=grad_clip, ema=ema)
    horizon = Horizon(schedule, steps, None)
    trainer = Trainer(
        job,
        make_optimizer(job.network, optimizer),
        schedule,
        horizon,
        options,
        save=lambda _: None,
        poll=lambda: None,
    )
    trainer.run()
