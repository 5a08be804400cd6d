"""How many steps a run takes: given by epochs or steps, or chosen on the way so that a time budget is met."""

from dlnotes_cli.training.schedule import Schedule

_AIM = 0.95  # part of the budget that the plan fills, so that a small slow-down does not overrun it
_GRACE = 1.05  # part of the budget at which a run ends even if its plan is not done


class Horizon:
    """The end of a run, in steps.

    `limit` is what epochs and `--max-steps` allow (None: no limit), `budget_s` the time budget in seconds. With a
    budget the total stays unknown until the schedule must know it; it is then chosen from the time used so far.
    """

    def __init__(self, schedule: Schedule, limit: int | None, budget_s: float | None) -> None:
        self._schedule, self._limit, self._budget_s = schedule, limit, budget_s
        self.total = limit if budget_s is None else None

    @property
    def limits(self) -> list[float | None]:
        """What the end depends on beside the clock, as JSON values."""
        return [self._limit, self._budget_s]

    def observe(self, step: int, elapsed_s: float, validation_s: float) -> None:
        """Choose the total, if `step` steps in `elapsed_s` seconds are where it must be known.

        `validation_s` is kept free for the last validation.
        """
        if self._budget_s is None or self.total is not None or step == 0:
            return
        chosen = self._affordable(step, elapsed_s, max(self._budget_s * _AIM - validation_s, 0.0))
        if self._limit is not None and (chosen or step >= self._schedule.turning_point(self._limit)):
            chosen = min(chosen or self._limit, self._limit)
        self.total = chosen

    def _affordable(self, step: int, elapsed_s: float, usable_s: float) -> int | None:
        """The total that `usable_s` seconds pay for, once the schedule must know it."""
        if self._schedule.shape == "constant":
            return step if elapsed_s >= usable_s else None
        if self._schedule.shape == "cosine" and step >= self._schedule.warmup:
            return max(2 * step, int(step * usable_s / elapsed_s))
        return 2 * step if elapsed_s >= usable_s / 2 else None

    def is_reached(self, step: int, elapsed_s: float) -> bool:
        """Whether the run ends after `step` steps."""
        if self.total is not None and step >= self.total:
            return True
        return self._budget_s is not None and elapsed_s >= self._budget_s * _GRACE and step > 0

    def fraction(self, step: int, elapsed_s: float) -> float:
        """How much of the run is done, for a progress bar."""
        if self.total is not None:
            return step / self.total
        return min(1.0, elapsed_s / self._budget_s) if self._budget_s else 0.0
