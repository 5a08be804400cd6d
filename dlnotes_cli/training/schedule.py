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

HALVED = ("one-cycle", "step")  # schedules whose rate decays from half of the steps on
_MAX_WARMUP_STEPS = 200
_STEP_FACTOR = 0.1


@dataclass(frozen=True)
class DecayStart:
    """The point from which a run whose length was changed late continues at the factor that it had reached."""

    start: int  # the first step
    factor: float  # of the step before


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

    def factor(self, step: int, total: int | None) -> float:
        """The factor in step `step`, counted from 0; `total` may be None (unknown) before the turning point."""
        if self.name == "constant":
            return 1.0
        turn = self.warmup if total is None else self.turning_point(total)
        if total is None or step < turn:
            return self._warmup_factor(step)
        peak = self._warmup_factor(turn)
        fraction = (step - turn) / max(total - turn, 1)  # of the steps from the turning point to the end
        if self.name == "step":
            return peak * (_STEP_FACTOR if fraction < 0.5 else _STEP_FACTOR**2)  # noqa: PLR2004  # half of them
        if self.name == "cosine":
            return peak * (1 + math.cos(math.pi * fraction)) / 2
        return peak * (1 - fraction)

    def continued_factor(self, step: int, total: int | None, decay_start: DecayStart) -> float:
        """The factor after `decay_start`: it decays from there to zero as in the schedule, or stays where it is.

        It stays there while `total` is None (unknown), and with the schedules constant and step.
        """
        if self.name in {"constant", "step"} or total is None:
            return decay_start.factor
        fraction = max(step - decay_start.start, 0) / max(total - decay_start.start, 1)
        if self.name == "cosine":
            return decay_start.factor * (1 + math.cos(math.pi * fraction)) / 2
        return decay_start.factor * (1 - fraction)

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


_PLANNED_FRACTION = 0.95  # of the time budget: the rest is a reserve for slower steps
EARLY_FRACTION = 0.6  # of the steps, which may cost less: until the learning rate has begun to decay
TIMED = range(5, 21)  # steps whose times tell that of whole steps
_MAX_FRACTION = 1.05  # of the time budget, after which a run ends even before its last step


@dataclass
class StepBudget:
    """The number of steps of a run, and the schedule that ends with them.

    With a time budget `total` is None until the schedule depends on it; it is then chosen from the measured time per
    step.
    """

    schedule: Schedule
    max_steps: int | None  # the smaller one of `--epochs` and `--max-steps`, in steps; None: no limit
    time_budget_s: float | None
    has_early_steps: bool = False  # whether the first steps cost less
    total: int | None = field(init=False)
    timed_s: list[float] = field(init=False, default_factory=list)  # seconds of the run after the steps in TIMED
    decay_start: DecayStart | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Set the total, which is known from the start without a time budget."""
        self.total = self.max_steps if self.time_budget_s is None else None

    @property
    def limits(self) -> list[float | None]:
        """The limits that were set, as JSON values; a resumed run with other limits chooses its total again."""
        return [self.max_steps, self.time_budget_s]

    def resume(self, step: int, total: int | None, decay_start: DecayStart | None, *, has_same_limits: bool) -> None:
        """Continue a run after `step` steps, whose number of steps was `total`.

        With the same limits everything is as it was. With others, the schedule follows the new limits unless steps
        that depended on the old or the new total are done: then the factor decays from where it is.
        """
        if has_same_limits:
            self.decay_start = decay_start
            self.total = total if self.total is None else self.total
            return
        turns = [self.schedule.turning_point(limit) for limit in (total, self.total) if limit is not None]
        if decay_start is not None or step > min(turns, default=step):
            self.decay_start = DecayStart(step, _factor(self.schedule, step - 1, total, decay_start))

    def lr_factor(self, step: int) -> float:
        """The factor on the learning rate in step `step`, counted from 0."""
        return _factor(self.schedule, step, self.total, self.decay_start)

    def is_early(self, step: int) -> bool:
        """Whether step `step`, counted from 0, is one of those that may cost less.

        The first steps are not: their time tells how many whole steps a time budget affords.
        """
        if self.decay_start is not None or self.schedule.name not in HALVED or step < TIMED[-1]:
            return False
        return self.total is None or step < EARLY_FRACTION * self.total

    def observe(self, step: int, elapsed_s: float, reserved_s: float) -> None:
        """Choose the total if the schedule depends on it from here on.

        `elapsed_s` seconds is the time of `step` steps so far; `reserved_s` seconds of the budget are not for steps.
        """
        if self.time_budget_s is None or self.total is not None or step == 0:
            return
        if len(self.timed_s) < len(TIMED) and step == TIMED[len(self.timed_s)]:  # once, before a validation
            self.timed_s.append(elapsed_s)
        total = self._affordable(step, elapsed_s, max(self.time_budget_s * _PLANNED_FRACTION - reserved_s, 0.0))
        if self.max_steps is not None and (total or step >= self.schedule.turning_point(self.max_steps)):
            total = min(total or self.max_steps, self.max_steps)
        self.total = total

    def _affordable(self, step: int, elapsed_s: float, usable_s: float) -> int | None:
        """The number of steps that `usable_s` seconds suffice for; None while the schedule does not depend on it."""
        if self.schedule.name == "constant":
            return step if elapsed_s >= usable_s else None
        if self.decay_start is not None:  # the decay has begun
            return max(step + 1, int(step * usable_s / elapsed_s))
        if self.schedule.name == "cosine" and step >= self.schedule.warmup:
            return max(2 * step, int(step * usable_s / elapsed_s))
        remaining_s = elapsed_s  # at half of the steps
        if self.has_early_steps and step > TIMED[-1]:
            early_s = (elapsed_s - self.timed_s[-1]) / (step - TIMED[-1])
            late_s = median(after - before for before, after in pairwise(self.timed_s))
            remaining_s = 2 * step * ((EARLY_FRACTION - 0.5) * early_s + (1 - EARLY_FRACTION) * late_s)
        return 2 * step if elapsed_s + remaining_s >= usable_s else None

    def is_reached(self, step: int, elapsed_s: float) -> bool:
        """Whether the run ends after `step` steps."""
        if self.total is not None and step >= self.total:
            return True
        return self.time_budget_s is not None and elapsed_s >= self.time_budget_s * _MAX_FRACTION and step > 0

    def fraction(self, step: int, elapsed_s: float) -> float:
        """The fraction of the run, 0 to 1, that is done."""
        if self.total is not None:
            return step / self.total
        return min(1.0, elapsed_s / self.time_budget_s) if self.time_budget_s else 0.0


def _factor(schedule: Schedule, step: int, total: int | None, decay_start: DecayStart | None) -> float:
    if decay_start is None:
        return schedule.factor(step, total)
    return schedule.continued_factor(step, total, decay_start)
