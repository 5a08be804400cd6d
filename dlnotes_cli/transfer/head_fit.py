"""Fitting a head to fixed features with L-BFGS: few parameters and a smooth loss."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.models.backbones import build_head, first_linear
from dlnotes_cli.training.objective import balanced_weights, penalized

WEIGHT_DECAYS = tuple(10 ** (half / 2) for half in range(2, -9, -1))  # 10 to 0.0001, for features of deviation 1
_MIN_DEVIATION = 1e-6  # of a feature, relative to the largest: below it there is only rounding error
_HISTORY_SIZE = 20  # steps from which L-BFGS estimates the curvature


@dataclass(frozen=True)
class HeadOptions:
    """The shape of a head, and the limits of its fit."""

    classes: int
    hidden: tuple[int, ...] = ()
    label_smoothing: float = 0.0
    is_balanced: bool = False  # weigh classes by their inverse frequency
    passes: int = 100  # over the features, at most, for each weight decay
    total_passes: int | None = None
    deadline: float = math.inf  # on the monotonic clock
    seed: int = 0


@dataclass(frozen=True)
class HeadFit:
    """A head for raw features, with its weight decay and the passes that it took."""

    head: nn.Sequential
    weight_decay: float
    passes: int


def fit_path(
    features: Tensor,
    labels: Tensor,
    options: HeadOptions,
    weight_decays: tuple[float, ...],
    poll: Callable[[], None] = lambda: None,
) -> Iterator[HeadFit]:
    """Heads for features (N, F), one for each weight decay; a linear head starts from the fit before it.

    Minimizes the mean cross-entropy plus half the weight decay times the squared weights, over standardized features,
    with L-BFGS (Liu and Nocedal 1989). Without hidden layers this is multinomial logistic regression.
    `poll` is called in each pass. If `total_passes` or the deadline ends the last fit early, its head is the best so
    far: the same number of passes always gives the same heads.
    """
    mean, deviation = features.mean(0), features.std(0, correction=0)
    deviation = torch.where(deviation > _MIN_DEVIATION * deviation.max().clamp(min=_MIN_DEVIATION), deviation, 1)
    x = (features - mean) / deviation
    class_weights = balanced_weights(labels, options.classes) if options.is_balanced else None
    head = _first_head(features.shape[1], options).to(features.device)
    done = 0
    for weight_decay in weight_decays:
        if done and _is_at_limit(done, options):
            return
        if options.hidden:  # a strong decay brings the weights to zero, a stationary point
            head = _first_head(features.shape[1], options).to(features.device)
        optimizer = torch.optim.LBFGS(
            head.parameters(), max_iter=options.passes, max_eval=options.passes, history_size=_HISTORY_SIZE,
            tolerance_grad=1e-6, tolerance_change=1e-9, line_search_fn="strong_wolfe",
        )  # fmt: skip
        before, best = done, _Best()

        def objective(head: nn.Sequential = head, weight_decay: float = weight_decay, best: _Best = best) -> Tensor:
            nonlocal done
            poll()
            if best.state and _is_at_limit(done, options):
                raise _LimitReachedError
            done += 1
            head.zero_grad()
            loss = F.cross_entropy(head(x), labels, class_weights, label_smoothing=options.label_smoothing)
            loss = loss + weight_decay / 2 * sum(weights.square().sum() for weights in penalized(head))
            loss.backward()
            best.keep(float(loss.detach()), head)
            return loss

        try:
            optimizer.step(objective)
        except _LimitReachedError:
            head.load_state_dict(best.state)
        yield HeadFit(_for_raw_features(head, mean, deviation, options), weight_decay, done - before)


class _LimitReachedError(Exception):
    """A limit of the fits is reached."""


@dataclass
class _Best:
    """The weights with the lowest objective of a fit."""

    lowest: float = math.inf
    state: dict[str, Tensor] = field(default_factory=dict)

    def keep(self, objective: float, head: nn.Sequential) -> None:
        if objective < self.lowest or not self.state:
            self.lowest = objective
            self.state = {name: tensor.clone() for name, tensor in head.state_dict().items()}


def _is_at_limit(passes: int, options: HeadOptions) -> bool:
    return passes >= (options.total_passes or math.inf) or time.monotonic() > options.deadline


def _first_head(inputs: int, options: HeadOptions) -> nn.Sequential:
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
