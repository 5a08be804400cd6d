"""The training loop of dlnotes for a fixed number of steps: the only module of the benchmarks that knows the engine."""

from dlnotes_cli.training.engine.loop import LoopSettings, Trainer, TrainingJob
from dlnotes_cli.training.engine.loss_scaling import LossScaling
from dlnotes_cli.training.engine.step_budget import StepBudget
from dlnotes_cli.training.optimizers import make_optimizer
from dlnotes_cli.training.recipes import OptimizerSettings
from dlnotes_cli.training.schedule import Schedule


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
