"""The fit of a head to fixed features with L-BFGS, which suits few parameters and a smooth loss."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.networks.backbones import build_head, first_linear
from dlnotes_cli.networks.torch_imports import make_lbfgs
from dlnotes_cli.training.objective import penalized_weights, weights_of_classes
from dlnotes_cli.training.task import Poll

WEIGHT_DECAYS = tuple(10 ** (half / 2) for half in range(2, -9, -1))  # 10 to 0.0001, for standardized features
_MIN_DEVIATION = 1e-6  # relative to the largest: a feature with less varies only by rounding errors
_HISTORY_SIZE = 20  # steps from which L-BFGS estimates the curvature


@dataclass(frozen=True)
class HeadOptions:
    """The layers of a head, its objective, and the limits of its fit."""

    classes: int
    hidden: tuple[int, ...] = ()  # units of the hidden layers
    label_smoothing: float = 0.0
    is_balanced: bool = False  # whether classes are weighted by their inverse frequency
    passes: int = 100  # over the features, at most, for each weight decay
    total_passes: int | None = None  # at most, for all weight decays together
    deadline: float = math.inf  # on the monotonic clock
    seed: int = 0
    class_weights: tuple[float, ...] | None = None  # of a file

    def is_at_limit(self, passes: int) -> bool:
        """Whether the limit of passes for all weight decays, or the deadline, is reached."""
        return passes >= (self.total_passes or math.inf) or time.monotonic() > self.deadline


@dataclass(frozen=True)
class HeadFit:
    """A head for features that are not standardized, fitted with a weight decay in some passes over the features."""

    head: nn.Sequential
    weight_decay: float
    passes: int


def fit_heads(
    features: Tensor, labels: Tensor, options: HeadOptions, weight_decays: tuple[float, ...], poll: Poll = lambda: None
) -> Iterator[HeadFit]:
    """Fit a head to features (N, F) for each weight decay; a linear head starts from the one before it.

    Minimizes the mean cross-entropy plus half the weight decay times the squared weights, over standardized features,
    with L-BFGS (Liu and Nocedal 1989). Without hidden layers this is multinomial logistic regression.
    `poll` is called in each pass. If `total_passes` or the deadline ends the last fit early, its head is the best of
    its passes: the same number of passes always gives the same heads.
    """
    mean, deviation = features.mean(0), features.std(0, correction=0)
    deviation = torch.where(deviation > _MIN_DEVIATION * deviation.max().clamp(min=_MIN_DEVIATION), deviation, 1)
    x = (features - mean) / deviation
    given, is_balanced = options.class_weights, options.is_balanced
    class_weights = weights_of_classes(labels, options.classes, is_balanced=is_balanced, given=given)
    head, total = _initial_head(features.shape[1], options).to(features.device), 0
    for weight_decay in weight_decays:
        if total and options.is_at_limit(total):
            return
        if options.hidden:  # a strong decay brings the weights to zero, a stationary point: start again
            head = _initial_head(features.shape[1], options).to(features.device)
        passes = _minimize(head, (x, labels, class_weights), weight_decay, options, total, poll)
        total += passes
        yield HeadFit(_for_raw_features(head, mean, deviation, options), weight_decay, passes)


class _LimitReachedError(Exception):
    """The limit of passes or the deadline is reached."""


def _minimize(
    head: nn.Sequential, data: tuple[Tensor, Tensor, Tensor | None], weight_decay: float, options: HeadOptions,
    before: int, poll: Poll,
) -> int:  # fmt: skip
    """Minimize the objective on features, labels and class weights with L-BFGS; returns the number of passes.

    A limit, which counts the passes `before` this fit, ends it early, with the best weights so far; one pass is made.
    """
    passes, lowest, best = 0, math.inf, dict[str, Tensor]()
    x, labels, class_weights = data

    def objective() -> Tensor:
        nonlocal passes, lowest, best
        poll()
        if best and options.is_at_limit(before + passes):
            raise _LimitReachedError
        passes += 1
        head.zero_grad()
        value = F.cross_entropy(head(x), labels, class_weights, label_smoothing=options.label_smoothing)
        value = value + weight_decay / 2 * sum(weights.square().sum() for weights in penalized_weights(head))
        value.backward()
        if float(value.detach()) < lowest or not best:
            lowest = float(value.detach())
            best = {name: tensor.clone() for name, tensor in head.state_dict().items()}
        return value

    optimizer = make_lbfgs(
        head.parameters(), max_iter=options.passes, max_eval=options.passes, history_size=_HISTORY_SIZE,
        tolerance_grad=1e-6, tolerance_change=1e-9, line_search_fn="strong_wolfe",
    )  # fmt: skip
    try:
        optimizer.step(objective)
    except _LimitReachedError:
        head.load_state_dict(best)
    return passes


def _initial_head(inputs: int, options: HeadOptions) -> nn.Sequential:
    """A head with PyTorch's initialization from the seed; a linear one is zero, since its objective is convex."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        head = build_head(inputs, options.hidden, options.classes)
    if not options.hidden:
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
    return head


@torch.no_grad()
def _for_raw_features(head: nn.Sequential, mean: Tensor, deviation: Tensor, options: HeadOptions) -> nn.Sequential:
    """A copy of a head that includes the standardization: `W (x - m) / s + b` is `(W / s) x + (b - W m / s)`."""
    copy = build_head(len(mean), options.hidden, options.classes).to(mean.device)
    copy.load_state_dict(head.state_dict())
    first = first_linear(copy)
    first.weight.div_(deviation)
    first.bias.sub_(first.weight @ mean)
    return copy.eval()
