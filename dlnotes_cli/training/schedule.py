"""Learning-rate schedules.

A schedule is a function of (step, total steps) that does not depend on the total until its turning point. A run with
a time budget can therefore choose the total late, from the measured speed; `--max-steps` with that total then repeats
the same learning rates.
"""

import math
from dataclasses import dataclass

from dlnotes_cli.training.recipes import ScheduleName

HALVED = ("one-cycle", "step")  # schedules whose rate decays from half of the steps on
_MAX_WARMUP_STEPS = 200
_STEP_FACTOR = 0.1


@dataclass(frozen=True)
class Continuation:
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

    def continued_factor(self, step: int, total: int | None, continuation: Continuation) -> float:
        """The factor after `continuation`: it decays from there to zero as in the schedule, or stays where it is.

        It stays there while `total` is None (unknown), and with the schedules constant and step.
        """
        if self.name in {"constant", "step"} or total is None:
            return continuation.factor
        fraction = max(step - continuation.start, 0) / max(total - continuation.start, 1)
        if self.name == "cosine":
            return continuation.factor * (1 + math.cos(math.pi * fraction)) / 2
        return continuation.factor * (1 - fraction)

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
