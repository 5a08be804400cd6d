"""The number of steps of a run: set by epochs or steps, or chosen during the run so that a time budget is met."""

from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from dlnotes_cli.training.schedule import HALVED, Continuation, Schedule

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
    continuation: Continuation | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Set the total, which is known from the start without a time budget."""
        self.total = self.max_steps if self.time_budget_s is None else None

    @property
    def limits(self) -> list[float | None]:
        """The limits that were set, as JSON values; a resumed run with other limits chooses its total again."""
        return [self.max_steps, self.time_budget_s]

    def resume(self, step: int, total: int | None, continuation: Continuation | None, *, has_same_limits: bool) -> None:
        """Continue a run after `step` steps, whose number of steps was `total`.

        With the same limits everything is as it was. With others, the schedule follows the new limits unless steps
        that depended on the old or the new total are done: then the factor decays from where it is.
        """
        if has_same_limits:
            self.continuation = continuation
            self.total = total if self.total is None else self.total
            return
        turns = [self.schedule.turning_point(limit) for limit in (total, self.total) if limit is not None]
        if continuation is not None or step > min(turns, default=step):
            self.continuation = Continuation(step, _factor(self.schedule, step - 1, total, continuation))

    def lr_factor(self, step: int) -> float:
        """The factor on the learning rate in step `step`, counted from 0."""
        return _factor(self.schedule, step, self.total, self.continuation)

    def is_early(self, step: int) -> bool:
        """Whether step `step`, counted from 0, is one of those that may cost less.

        The first steps are not: their time tells how many whole steps a time budget affords.
        """
        if self.continuation is not None or self.schedule.name not in HALVED or step < TIMED[-1]:
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
        if self.continuation is not None:  # the decay has begun
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


def _factor(schedule: Schedule, step: int, total: int | None, continuation: Continuation | None) -> float:
    if continuation is None:
        return schedule.factor(step, total)
    return schedule.continued_factor(step, total, continuation)
