"""Learning rate over time.

Every schedule is a function of (step, total steps) whose first part does not depend on the total. A time budget can
therefore choose the total late, from the speed that was measured until then, and the same number of steps given as
`--max-steps` runs through the very same rates.
"""

import math
from dataclasses import dataclass
from typing import Literal

Shape = Literal["one-cycle", "cosine", "step", "constant"]
_MOST_WARMUP_STEPS = 200
_STEP_FACTOR = 0.1


@dataclass(frozen=True)
class Schedule:
    """A learning-rate factor, 0 to 1, for each step.

    one-cycle: linear warm-up, a plateau to half of the steps, then linearly to zero (the trapezoid of Xing et al. 2018,
    arXiv:1802.08770, which does as well as a triangle and lets the total be chosen at half time).
    cosine: warm-up, then half a cosine to zero. step: a tenth from half of the steps, a hundredth from three quarters.
    constant: 1.
    """

    shape: Shape
    warmup: int

    def factor(self, step: int, total: int | None) -> float:
        """The factor of step `step` (from 0); `total` may be unknown until `turning_point`."""
        if self.shape == "constant":
            return 1.0
        turn = self.warmup if total is None else self.turning_point(total)
        if total is None or step < turn:
            return self._rise(step)
        fraction = (step - turn) / max(total - turn, 1)  # of the way from the turning point to the end
        if self.shape == "step":
            return self._rise(turn) * (_STEP_FACTOR if fraction < 0.5 else _STEP_FACTOR**2)  # noqa: PLR2004  # half way
        if self.shape == "cosine":
            return self._rise(turn) * (1 + math.cos(math.pi * fraction)) / 2
        return self._rise(turn) * (1 - fraction)

    def turning_point(self, total: int) -> int:
        """The first step whose factor depends on the total."""
        if self.shape == "constant":
            return total
        return min(self.warmup, total // 2) if self.shape == "cosine" else (total + 1) // 2

    def _rise(self, step: int) -> float:
        return min(1.0, (step + 1) / self.warmup) if self.shape in {"one-cycle", "cosine"} else 1.0


def make_schedule(shape: Shape, steps_per_epoch: int) -> Schedule:
    """A schedule that warms up for an epoch, at most 200 steps."""
    return Schedule(shape, min(steps_per_epoch, _MOST_WARMUP_STEPS))
