"""Learning-rate schedules.

A schedule is a function of (step, total steps) that does not depend on the total until its turning point. A run with
a time budget can therefore choose the total late, from the measured speed; `--max-steps` with that total then repeats
the same learning rates.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from dlnotes_cli.training.recipes import ScheduleName
from dlnotes_cli.training.results import DecayStart, RunProgress

HALVED = ("one-cycle", "step")  # schedules whose rate decays from half of the steps on
_MAX_WARMUP_STEPS = 200
_STEP_FACTOR = 0.1
_PLANNED_FRACTION = 0.95  # of the time budget: the rest is a reserve for slower steps
EARLY_FRACTION = 0.6  # of the steps, which may cost less: until the learning rate has begun to decay
TIMED = range(5, 21)  # steps whose times tell that of whole steps
_MAX_FRACTION = 1.05  # of the time budget, after which a run ends even before its last step


@dataclass(frozen=True)
class Schedule:
    """A factor from 0 to 1 on the learning rate, for each step.

    one-cycle: linear warm-up, a plateau until half of the steps, then linear decay to zero (the trapezoid of Xing et
    al. 2018, arXiv:1802.08770, as accurate as a triangle, and the total can be chosen at half time).
    cosine: linear warm-up, then cosine decay to zero. step: 1, from half of the steps 0.1, from three quarters 0.01.
    constant: 1.
    """

    name: ScheduleName
    warmup: int  # steps

    def factor(self, step: int, total: int | None, decay_start: DecayStart | None = None) -> float:
        """The factor in step `step`, counted from 0; `total` may be None (unknown) before the turning point.

        After `decay_start` it decays from there to zero as in the schedule. It stays where it is while the total is
        unknown, and with the schedules constant and step.
        """
        if decay_start is not None:
            if self.name in {"constant", "step"} or total is None:
                return decay_start.factor
            turn, peak = decay_start.start, decay_start.factor
        else:
            turn = self.warmup if total is None else self.turning_point(total)
            if total is None or step < turn or self.name == "constant":
                return self._warmup_factor(step)
            peak = self._warmup_factor(turn)
        fraction = max(step - turn, 0) / max(total - turn, 1)  # of the steps from the turning point to the end
        if self.name == "step":
            return peak * (_STEP_FACTOR if fraction < 0.5 else _STEP_FACTOR**2)  # noqa: PLR2004  # half of them
        if self.name == "cosine":
            return peak * (1 + math.cos(math.pi * fraction)) / 2
        return peak * (1 - fraction)

    def turning_point(self, total: int) -> int:
        """The first step whose factor depends on the total number of steps."""
        if self.name == "constant":
            return total
        return min(self.warmup, total // 2) if self.name == "cosine" else (total + 1) // 2

    def _warmup_factor(self, step: int) -> float:
        return min(1.0, (step + 1) / self.warmup) if self.name in {"one-cycle", "cosine"} else 1.0


def make_schedule(name: ScheduleName, steps_per_epoch: int) -> Schedule:
    """The schedule with a warm-up of one epoch, but at most 200 steps."""
    return Schedule(name, min(steps_per_epoch, _MAX_WARMUP_STEPS))


@dataclass
class StepBudget:
    """The number of steps of a run, `progress.total`, and the schedule that ends with them.

    With a time budget the total is None until the schedule depends on it; it is then chosen from the measured time per
    step.
    """

    schedule: Schedule
    max_steps: int | None  # the smaller one of `--epochs` and `--max-steps`, in steps; None: no limit
    time_budget_s: float | None
    has_early_steps: bool = False  # whether the first steps cost less
    progress: RunProgress = field(default_factory=RunProgress)

    def __post_init__(self) -> None:
        """Set the total, which is known from the start without a time budget."""
        self.progress.total = self.max_steps if self.time_budget_s is None else None

    @property
    def limits(self) -> list[float | None]:
        """The limits that were set, as JSON values; a resumed run with other limits chooses its total again."""
        return [self.max_steps, self.time_budget_s]

    def resume(self, progress: RunProgress, limits: object) -> None:
        """Continue from the progress of a run that had these `limits`.

        With the same limits everything is as it was. With others, the schedule follows the new limits unless steps
        that depended on the old or the new total are done: then the factor decays from where it is.
        """
        own, self.progress = self.progress.total, progress
        step, total = progress.step, progress.total
        if limits == self.limits:
            progress.total = total if own is None else own
            return
        turns = [self.schedule.turning_point(limit) for limit in (total, own) if limit is not None]
        if progress.decay_start is not None or step > min(turns, default=step):
            progress.decay_start = DecayStart(step, self.lr_factor(step - 1))
        progress.total = own

    def lr_factor(self, step: int) -> float:
        """The factor on the learning rate in step `step`, counted from 0."""
        return self.schedule.factor(step, self.progress.total, self.progress.decay_start)

    @property
    def is_early(self) -> bool:
        """Whether the next step is one of those that may cost less.

        The first steps are not: their time tells how many whole steps a time budget affords.
        """
        step, total = self.progress.step, self.progress.total
        if self.progress.decay_start is not None or self.schedule.name not in HALVED or step < TIMED[-1]:
            return False
        return total is None or step < EARLY_FRACTION * total

    def observe(self, reserved_s: float) -> None:
        """Choose the total if the schedule depends on it from here on; `reserved_s` seconds are not for steps."""
        progress, step = self.progress, self.progress.step
        if self.time_budget_s is None or progress.total is not None or step == 0:
            return
        elapsed_s, timed_s = progress.elapsed_s - progress.spent_s, progress.timed_s
        if len(timed_s) < len(TIMED) and step == TIMED[len(timed_s)]:  # once, before a validation
            timed_s.append(elapsed_s)
        usable_s = max(self.time_budget_s * _PLANNED_FRACTION - progress.spent_s - reserved_s, 0.0)
        total = self._affordable(step, elapsed_s, usable_s)
        if self.max_steps is not None and (total or step >= self.schedule.turning_point(self.max_steps)):
            total = min(total or self.max_steps, self.max_steps)
        progress.total = total

    def _affordable(self, step: int, elapsed_s: float, usable_s: float) -> int | None:
        """The number of steps that `usable_s` seconds suffice for; None while the schedule does not depend on it."""
        if self.schedule.name == "constant":
            return step if elapsed_s >= usable_s else None
        if self.progress.decay_start is not None:  # the decay has begun
            return max(step + 1, int(step * usable_s / elapsed_s))
        if self.schedule.name == "cosine" and step >= self.schedule.warmup:
            return max(2 * step, int(step * usable_s / elapsed_s))
        remaining_s = elapsed_s  # at half of the steps
        if self.has_early_steps and step > TIMED[-1]:
            timed_s = self.progress.timed_s
            early_s = (elapsed_s - timed_s[-1]) / (step - TIMED[-1])
            late_s = median(after - before for before, after in pairwise(timed_s))
            remaining_s = 2 * step * ((EARLY_FRACTION - 0.5) * early_s + (1 - EARLY_FRACTION) * late_s)
        return 2 * step if elapsed_s + remaining_s >= usable_s else None

    @property
    def is_reached(self) -> bool:
        """Whether the run ends here."""
        progress = self.progress
        if progress.total is not None and progress.step >= progress.total:
            return True
        is_late = self.time_budget_s is not None and progress.elapsed_s >= self.time_budget_s * _MAX_FRACTION
        return is_late and progress.step > 0

    @property
    def fraction(self) -> float:
        """The fraction of the run, 0 to 1, that is done."""
        if self.progress.total is not None:
            return self.progress.step / self.progress.total
        return min(1.0, self.progress.elapsed_s / self.time_budget_s) if self.time_budget_s else 0.0
