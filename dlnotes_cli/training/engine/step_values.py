"""What a training step computes, and when the host reads it.

Reading a value of a step waits until the device has computed it. Values are therefore read for many steps at a time.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

_READ_EVERY = 20  # steps


class StepOutput(NamedTuple):
    """A forward pass: the objective, and the sums from which the training metrics are computed."""

    objective: Tensor  # the scalar to differentiate
    loss_sum: Tensor  # plain loss in nats, summed over the samples
    correct: Tensor  # number of correctly classified samples
    samples: int

    def without_weight(self) -> "StepOutput":
        """Zeros that take part in the backward pass, for samples that do not count."""
        return StepOutput(self.objective * 0, self.loss_sum * 0, self.correct * 0, 0)

    def without_graph(self) -> "StepOutput":
        """The same values, without what the backward pass needs."""
        return self._replace(objective=self.objective.detach())


class StepValues(NamedTuple):
    """The values of one step."""

    step: int  # counted from 1
    samples: int
    objective: float
    loss_sum: float
    correct: int
    gradient_norm: float | None  # None: the gradient is not clipped
    loss_scale: float | None = None  # after the step; None: the loss is not scaled

    @property
    def not_finite(self) -> str | None:
        """What is not finite, "loss" or "gradient"; None if everything is finite.

        Where the loss is scaled, a step whose gradient overflows is skipped, unless it does so without scaling, too.
        """
        if not math.isfinite(self.objective):
            return "loss"
        if self.loss_scale is not None:
            return "gradient" if self.loss_scale < 1 else None
        return None if math.isfinite(self.gradient_norm or 0.0) else "gradient"


def total(parts: Sequence[StepOutput]) -> StepOutput:
    """The values of a batch from those of its parts."""
    if len(parts) == 1:
        return parts[0]
    objectives, loss_sums, correct, samples = zip(*parts, strict=True)
    return StepOutput(
        torch.stack(objectives).sum(), torch.stack(loss_sums).sum(), torch.stack(correct).sum(), sum(samples)
    )


class UnreadSteps:
    """The last steps, whose values are still on the device."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, int]] = []  # each step and its number of samples
        self._rows: list[tuple[Tensor | None, ...]] = []  # of each step: the values from `objective` on

    def add(
        self, step: int, output: StepOutput, gradient_norm: Tensor | None, loss_scale: Tensor | None = None
    ) -> None:
        """Add step `step`, counted from 1."""
        scalars = (output.objective, output.loss_sum, output.correct, gradient_norm, loss_scale)
        self._steps.append((step, output.samples))
        self._rows.append(tuple(None if scalar is None else scalar.detach() for scalar in scalars))

    @property
    def is_due(self) -> bool:
        """Whether there are so many steps that they should be read."""
        return len(self._steps) >= _READ_EVERY

    def read(self) -> list[StepValues]:
        """The values of the steps since the last call, in order."""
        columns = [_column(scalars) for scalars in zip(*self._rows, strict=True)]
        values = [StepValues(*step, *row) for step, *row in zip(self._steps, *columns, strict=True)]
        self._steps, self._rows = [], []
        return values


def _column(scalars: Sequence[Tensor | None]) -> list[Any]:
    """One value of every step, read at once; the steps have it all or none."""
    known = [scalar for scalar in scalars if scalar is not None]
    return torch.stack(known).tolist() if known else [None] * len(scalars)
