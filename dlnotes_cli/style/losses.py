"""The losses of neural style transfer (Gatys, Ecker and Bethge 2016), and the painting that minimizes them."""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from dlnotes_cli.shell.errors import UnfinishedError

Scaling = Literal["relative", "notes"]
Features = Mapping[str, Tensor]  # by layer, each (1, C, H, W)
MEMORY = 20  # pairs of steps from which L-BFGS guesses the curvature
_WINDOW = 10  # steps over which an image must gain
_LEAST_GAIN = 0.003  # as a part of the loss
_TINY = 1e-12
_LOST = 4.0  # times the lowest loss: beyond it a step has gone wrong
_SCRATCH = "al"  # where L-BFGS keeps what it needs within a step
_MOST_FALLS = 12  # after which there is no use in trying on


def gram(features: Tensor) -> Tensor:
    """Correlations (C, C) of the channels of features (1, C, H, W): sums over all places of their products.

    In float32, or float64 for features in it.
    """
    correlations: Tensor = _Gram.apply(features.flatten(2).squeeze(0))  # type: ignore[no-untyped-call]
    return correlations


class _Gram(torch.autograd.Function):
    """F Fᵀ, whose gradient (G + Gᵀ) F is one product here and would be two elsewhere."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor) -> Tensor:
        ctx.save_for_backward(flat)
        values = _at_least_float32(flat)
        return values @ values.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (flat,), (gradient,) = ctx.saved_tensors, gradients
        channels_last: Tensor = flat.T @ (gradient + gradient.T).to(flat.dtype)  # as the features are
        return channels_last.T


def total_variation(image: Tensor) -> Tensor:
    """Mean squared differences of neighbors, down and to the right, in an image (1, C, H, W)."""
    return image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()


class Losses(NamedTuple):
    """The weighted sum, and its parts before they are weighted; scalars."""

    total: Tensor
    content: Tensor
    style: Tensor
    variation: Tensor


@dataclass(frozen=True)
class Weights:
    """What each part of the loss weighs; `layers` are the styles' layers."""

    alpha: float
    beta: float
    variation: float
    layers: Mapping[str, float]


@dataclass(frozen=True)
class Target:
    """What the features of an image are held against.

    `relative`: squared distances over the squared norm of what is aimed at, so that layers, networks and sizes weigh
    alike; Gram matrices are divided by the number of places first, and a weight by the sum of the weights. `notes`: the
    course's notebook: mean squares of features and of Gram matrices, the latter over channels times places.
    """

    layer: str  # of the content
    content: Tensor
    grams: Mapping[str, Tensor]  # by layer; over the number of places where `relative`
    weights: Weights
    scaling: Scaling

    def losses(self, features: Features, image: Tensor) -> Losses:
        """The losses of an image (1, 3, H, W) with these features, in float32 or what they are in beyond it."""
        found = _at_least_float32(features[self.layer])
        content = (found - self.content).square().mean()
        if self.scaling == "relative":
            content = content / self.content.square().mean().clamp(min=_TINY)
        style = torch.stack([weight * self._style(name, features[name]) for name, weight in self._layers()]).sum()
        variation = total_variation(image)
        total = self.weights.alpha * content + self.weights.beta * style + self.weights.variation * variation
        return Losses(total, content, style, variation)

    def _layers(self) -> list[tuple[str, float]]:
        whole = sum(self.weights.layers.values()) if self.scaling == "relative" else 1.0
        return [(name, weight / whole) for name, weight in self.weights.layers.items()]

    def _style(self, name: str, features: Tensor) -> Tensor:
        aim = self.grams[name]
        places = features.shape[2] * features.shape[3]
        if self.scaling == "notes":
            return (gram(features) - aim).square().mean() / (features.shape[1] * places)
        return (gram(features) / places - aim).square().sum() / aim.square().sum().clamp(min=_TINY)


def style_grams(features: Features, layers: Mapping[str, float], scaling: Scaling) -> dict[str, Tensor]:
    """The Gram matrices of a style's features that `Target` takes."""
    found: dict[str, Tensor] = {}
    for name in layers:
        places = features[name].shape[2] * features[name].shape[3]
        found[name] = gram(features[name]) / (places if scaling == "relative" else 1)
    return found


@dataclass(frozen=True)
class PaintOptions:
    """How an image is painted at one size."""

    optimizer: Literal["lbfgs", "adam"]
    lr: float
    steps: int
    settles: bool = True  # end where nothing is gained any more
    deadline: float = math.inf  # on the monotonic clock


class Painting:
    """A scaled image (1, 3, H, W) that is changed until its loss falls no further, or `steps` are done.

    Before each look its pixels are brought back between `bounds`. Where L-BFGS, which takes its steps unproven, has
    lost its way, it begins again from the best image with steps of half the length. `state` and `restore` take a
    painting up again just where it stood.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Features],
        target: Target,
        start: Tensor,
        bounds: tuple[Tensor, Tensor] | None,
        options: PaintOptions,
    ) -> None:
        self._network, self._target, self._bounds, self._options = network, target, bounds, options
        self._image = start.detach().clone().requires_grad_(True)
        self._falls = 0
        self._optimizer = _optimizer(self._image, options.optimizer, options.lr)
        self.best, self.lowest = start.detach().clone(), math.inf
        self.losses: list[tuple[float, ...]] = []  # of every look: total, content, style, total variation
        self.steps = 0

    def run(self, after: Callable[["Painting"], None] = lambda _: None) -> None:
        """Paint to the end, and look once more at what the last step made; `after` each step, it may raise to stop.

        Raises UnfinishedError where a loss is not finite.
        """
        while self.steps < self._options.steps:
            self._step()
            after(self)
            if time.monotonic() > self._options.deadline or (self._options.settles and _has_settled(self.losses)):
                break
        with torch.no_grad():
            self._look()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Where it stands: tensors, and JSON values."""
        tensors, numbers = {"now": self._image.detach(), "best": self.best}, {}
        for name, value in self._optimizer.state[self._image].items():
            if isinstance(value, Tensor):
                tensors[name] = value
            elif not isinstance(value, list):
                numbers[name] = value
            elif name != _SCRATCH:
                numbers[name] = []  # to be filled
                tensors |= {f"{name}.{i}": entry for i, entry in enumerate(value)}
        losses = [[loss if math.isfinite(loss) else None for loss in look] for look in self.losses]
        return tensors, {"losses": losses, "steps": self.steps, "falls": self._falls, "optimizer": numbers}

    def restore(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        with torch.no_grad():
            self._image.copy_(tensors["now"])
        self.best = tensors["best"].to(self._image)
        self.losses = [tuple(math.nan if loss is None else loss for loss in look) for look in metadata["losses"]]
        self.lowest = min((look[0] for look in self.losses if math.isfinite(look[0])), default=math.inf)
        self.steps, self._falls = metadata["steps"], metadata["falls"]
        self._optimizer = _optimizer(self._image, self._options.optimizer, self._options.lr / 2**self._falls)
        state: dict[str, Any] = copy.deepcopy(dict(metadata["optimizer"]))
        for name in sorted(tensors.keys() - {"now", "best"}, key=lambda name: int(name.partition(".")[2] or 0)):
            kind, dot, _ = name.partition(".")
            value = tensors[name].to(self._image.device)
            if dot:
                state[kind].append(value)
            else:
                state[kind] = value
        if state:
            self._optimizer.state[self._image] = state

    def _step(self) -> None:
        self._optimizer.step(self._look_and_learn)  # type: ignore[arg-type]  # a tensor will do, its stubs want a float
        self.steps += 1
        is_lost = not self.losses[-1][0] <= _LOST * self.lowest
        if is_lost and self._options.optimizer == "lbfgs" and math.isfinite(self.lowest) and self._falls < _MOST_FALLS:
            self._falls += 1
            with torch.no_grad():
                self._image.copy_(self.best)
            self._optimizer = _optimizer(self._image, self._options.optimizer, self._options.lr / 2**self._falls)
        elif not math.isfinite(self.losses[-1][0]):
            where = f"step {self.steps} (--lr {self._options.lr:g})"
            raise UnfinishedError("--lr", f"the loss is not finite at {where}", "give a lower --lr")

    def _look_and_learn(self) -> Tensor:
        self._optimizer.zero_grad()
        total = self._look()
        total.backward()
        return total

    def _look(self) -> Tensor:
        with torch.no_grad():
            if self._bounds is not None:
                self._image.clamp_(*self._bounds)
        found = self._target.losses(self._network(self._image), self._image)
        self.losses.append(tuple(float(loss.detach()) for loss in found))
        if self.losses[-1][0] < self.lowest:
            self.best, self.lowest = self._image.detach().clone(), self.losses[-1][0]
        return found.total


def _optimizer(image: Tensor, name: Literal["lbfgs", "adam"], lr: float) -> torch.optim.Optimizer:
    if name == "adam":
        return torch.optim.Adam([image], lr=lr)
    return torch.optim.LBFGS([image], lr=lr, max_iter=1, history_size=MEMORY, tolerance_grad=0, tolerance_change=0)


def _has_settled(losses: Sequence[tuple[float, ...]]) -> bool:
    """Whether the last steps have gained next to nothing."""
    if len(losses) < 2 * _WINDOW:
        return False
    before, now = (min(loss[0] for loss in part) for part in (losses[:-_WINDOW], losses))
    return now >= before * (1 - _LEAST_GAIN)


def _at_least_float32(values: Tensor) -> Tensor:
    return values if values.dtype in {torch.float32, torch.float64} else values.float()
