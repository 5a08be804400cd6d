"""What a training step computes, and when the host reads it.

Reading a value of a step waits until the device has computed it. Values are therefore read for many steps at a time.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

_READ_EVERY = 20  # steps
_LARGEST_KEPT = 1 << 14  # logits of a step that are kept until the steps are read


class UncountedPredictions(NamedTuple):
    """Logits and labels, of which the correct ones are counted later, for many steps at once."""

    logits: Tensor  # (N, K)
    labels: Tensor  # int64 (N,)

    def correct_count(self) -> Tensor:
        """The number of samples whose label has the largest logit."""
        return (self.logits.argmax(1) == self.labels).sum()

    def counted_if_large(self) -> "Tensor | UncountedPredictions":
        """The number right away, if the logits of many steps would take too much memory."""
        return self if self.logits.numel() <= _LARGEST_KEPT else self.correct_count()


class StepOutput(NamedTuple):
    """A forward pass: the objective, and the sums from which the training metrics are computed."""

    objective: Tensor  # the scalar to differentiate
    loss_sum: Tensor  # plain loss in nats, summed over the samples
    correct: Tensor | UncountedPredictions  # number of correctly classified samples
    samples: int

    @property
    def correct_count(self) -> Tensor:
        """The number of correctly classified samples."""
        return self.correct.correct_count() if isinstance(self.correct, UncountedPredictions) else self.correct

    def without_weight(self) -> "StepOutput":
        """Zeros that take part in the backward pass, for samples that do not count."""
        return StepOutput(self.objective * 0, self.loss_sum * 0, self.correct_count * 0, 0)

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
    objectives, loss_sums, _, samples = zip(*parts, strict=True)
    correct = torch.stack([part.correct_count for part in parts]).sum()
    return StepOutput(torch.stack(objectives).sum(), torch.stack(loss_sums).sum(), correct, sum(samples))


class UnreadSteps:
    """The last steps, whose values are still on the device."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, int]] = []  # each step and its number of samples
        # Of each step: the values from `objective` on.
        self._rows: list[tuple[Tensor | UncountedPredictions | None, ...]] = []

    def add(
        self, step: int, output: StepOutput, gradient_norm: Tensor | None, loss_scale: Tensor | None = None
    ) -> None:
        """Add step `step`, counted from 1."""
        self._steps.append((step, output.samples))
        self._rows.append((output.objective, output.loss_sum, output.correct, gradient_norm, loss_scale))

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


def _column(values: Sequence[Tensor | UncountedPredictions | None]) -> list[Any]:
    """One value of every step, read at once; the steps have it all or none."""
    uncounted = [value for value in values if isinstance(value, UncountedPredictions)]
    counts = iter(_counts(uncounted) if uncounted else ())
    known = [
        next(counts) if isinstance(value, UncountedPredictions) else value for value in values if value is not None
    ]
    return torch.stack(known).tolist() if known else [None] * len(values)


def _counts(batches: Sequence[UncountedPredictions]) -> list[Tensor]:
    """The numbers of correct samples of several batches."""
    sizes = [len(each.labels) for each in batches]
    predicted = torch.cat([each.logits for each in batches]).argmax(1)
    is_correct = predicted == torch.cat([each.labels for each in batches])
    return [part.sum() for part in is_correct.split(sizes)]
