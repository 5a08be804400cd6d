"""Optimize the pixels of an image with L-BFGS or Adam, keep the best, and resume exactly."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dlnotes_cli.shell.codec import NAN_IF_NULL, build, to_json
from dlnotes_cli.shell.errors import UnfinishedError
from dlnotes_cli.style.objective import Losses
from dlnotes_cli.style.options import StyleRecipe

LBFGS_HISTORY = 20  # pairs of steps and gradients from which L-BFGS approximates the curvature
_PLATEAU_STEPS = 10  # within which the lowest loss must fall
_MIN_IMPROVEMENT = 0.003  # as a fraction of the loss
_DIVERGENCE_FACTOR = 4.0  # a loss above this multiple of the lowest means that a step has diverged
_TEMPORARY = "al"  # entry of L-BFGS's state that is used only within a step
_MAX_RESTARTS = 12


@dataclass(frozen=True)
class LossValues:
    """The losses of one evaluation as numbers: the weighted total, and its unweighted terms."""

    total: float = field(metadata=NAN_IF_NULL)
    content: float = field(metadata=NAN_IF_NULL)
    style: float = field(metadata=NAN_IF_NULL)
    variation: float = field(metadata=NAN_IF_NULL)


class ImageOptimization:
    """Optimize a normalized image (1, 3, H, W) until its loss no longer falls, or for the steps of the recipe.

    Pixels are clamped to `bounds` before each evaluation. L-BFGS takes its steps without a line search: where one
    diverges, it restarts from the best image with half the learning rate. `state` and `load_state` resume exactly.
    """

    def __init__(
        self,
        objective: Callable[[Tensor], Losses],
        initial: Tensor,
        recipe: StyleRecipe,
        *,
        bounds: tuple[Tensor, Tensor] | None = None,
        stops_early: bool = False,  # when the loss no longer falls
        deadline: float = math.inf,  # on the monotonic clock, in seconds
        gradient_scale: float = 1.0,  # PyTorch's L-BFGS ignores curvature below 1e-10, and then hardly moves
    ) -> None:
        self._objective, self._recipe, self._bounds = objective, recipe, bounds
        self._stops_early, self._deadline, self._gradient_scale = stops_early, deadline, gradient_scale
        self._image = initial.detach().clone().requires_grad_(True)
        self._restarts = 0
        self._optimizer = self._new_optimizer()
        self.best, self.lowest = initial.detach().clone(), math.inf
        self.losses: list[LossValues] = []  # of every evaluation: before the first step, and after each
        self.steps = 0

    def run(self) -> Iterator[int]:
        """Take steps to the end and yield their number after each; then evaluate the result of the last one.

        Raises UnfinishedError if the loss is not finite.
        """
        while self.steps < self._recipe.steps:
            self._step()
            yield self.steps
            if time.monotonic() > self._deadline or (self._stops_early and _has_plateaued(self.losses)):
                break
        with torch.no_grad():
            self._evaluate()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values from which `load_state` resumes."""
        tensors, numbers, lengths = {"image": self._image.detach(), "best": self.best}, {}, {}
        for name, value in self._optimizer.state[self._image].items():
            if isinstance(value, Tensor):
                tensors[name] = value
            elif not isinstance(value, list):
                numbers[name] = value
            elif name != _TEMPORARY:
                lengths[name] = len(value)
                tensors |= {f"{name}.{i}": entry for i, entry in enumerate(value)}
        return tensors, {
            "losses": to_json(self.losses), "steps": self.steps, "restarts": self._restarts, "optimizer": numbers,
            "lengths": lengths,
        }  # fmt: skip

    def load_state(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Continue from a `state`. Raises ValueError where a tensor has another type or size than the image."""
        sizes = {1, self._image.numel()}
        if any(not value.is_floating_point() or value.numel() not in sizes for value in tensors.values()):
            raise ValueError("tensor of a checkpoint")
        state = {name: value.to(self._image.device) for name, value in tensors.items()}
        with torch.no_grad():
            self._image.copy_(state.pop("image"))
        self.best = state.pop("best").to(self._image)
        self.losses = [build(LossValues, values) for values in metadata["losses"]]
        self.lowest = min((values.total for values in self.losses if math.isfinite(values.total)), default=math.inf)
        self.steps, self._restarts = metadata["steps"], metadata["restarts"]
        self._optimizer = self._new_optimizer()
        lists = {name: [state.pop(f"{name}.{i}") for i in range(n)] for name, n in metadata["lengths"].items()}
        if restored := {**metadata["optimizer"], **lists, **state}:
            self._optimizer.state[self._image] = restored

    def _step(self) -> None:
        self._optimizer.step(self._evaluate_with_gradient)  # type: ignore[arg-type]  # its stubs require a float
        self.steps += 1
        total = self.losses[-1].total
        has_diverged = not total <= _DIVERGENCE_FACTOR * self.lowest
        may_restart = self._recipe.optimizer == "lbfgs" and math.isfinite(self.lowest)
        if has_diverged and may_restart and self._restarts < _MAX_RESTARTS:
            self._restarts += 1
            with torch.no_grad():
                self._image.copy_(self.best)
            self._optimizer = self._new_optimizer()
        elif not math.isfinite(total):
            where = f"step {self.steps} (--lr {self._recipe.lr:g})"
            raise UnfinishedError("--lr", f"the loss is not finite at {where}", "use a lower --lr")

    def _new_optimizer(self) -> torch.optim.Optimizer:
        lr = self._recipe.lr / 2**self._restarts
        if self._recipe.optimizer == "adam":
            return torch.optim.Adam([self._image], lr=lr)
        return torch.optim.LBFGS(
            [self._image], lr=lr, max_iter=1, history_size=LBFGS_HISTORY, tolerance_grad=0, tolerance_change=0
        )

    def _evaluate_with_gradient(self) -> Tensor:
        self._optimizer.zero_grad()
        total = self._evaluate()
        (total * self._gradient_scale).backward()
        return total

    def _evaluate(self) -> Tensor:
        with torch.no_grad():
            if self._bounds is not None:
                self._image.clamp_(*self._bounds)
        losses = self._objective(self._image)
        self.losses.append(LossValues(*(float(loss.detach()) for loss in losses)))
        if self.losses[-1].total < self.lowest:
            self.best, self.lowest = self._image.detach().clone(), self.losses[-1].total
        return losses.total


def _has_plateaued(losses: Sequence[LossValues]) -> bool:
    """Whether the last steps lowered the total by almost nothing."""
    if len(losses) < 2 * _PLATEAU_STEPS:
        return False
    before, now = (min(values.total for values in history) for history in (losses[:-_PLATEAU_STEPS], losses))
    return now >= before * (1 - _MIN_IMPROVEMENT)
