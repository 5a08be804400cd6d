"""Optimizers with parameter groups (weight decay on matrices only, learning rates by layer), and EMA of weights."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.recipes import OptimizerName, OptimizerSettings

_TINY = 1e-32  # an average this small has no effect: its root is far below the `eps` of every optimizer
_ADAMW_BETAS = (0.9, 0.99)  # PyTorch's default of 0.999 averages over more steps than short runs have
_FILTER_DIMENSIONS = 4
_FILTER_MOMENTUM = 0.6
_ITERATIONS = 3  # after which the singular values that matter are between 0.4 and 1.3
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of odd powers, for fast growth of small singular values
_WARMUP = 10  # in step t the decay of a moving average is at most (1 + t) / (10 + t)


def make_optimizer(
    network: nn.Module, settings: OptimizerSettings, lr_factors: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """The optimizer of a network's trained parameters; those of one dimension (biases, normalization) do not decay.

    `lr_factors` are factors on the learning rate, by parameter name. Each group stores its factor as `lr_factor`, by
    which the training loop multiplies the learning rate of the schedule.
    """
    grouped: dict[tuple[bool, float], list[nn.Parameter]] = {}  # by whether they decay, and by factor
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            key = parameter.ndim > 1, (lr_factors or {}).get(name, 1.0)
            grouped.setdefault(key, []).append(parameter)
    groups = [
        {"params": grouped[key], "weight_decay": settings.weight_decay if key[0] else 0.0, "lr_factor": key[1]}
        for key in sorted(grouped, reverse=True)
    ]
    return _optimizer(groups, settings)


def _optimizer(groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
    name, lr, momentum = settings.optimizer, settings.lr, settings.momentum
    if name in {"nesterov", "muon"} and not momentum:
        raise InputError("--momentum", f"{name} needs a momentum above 0", "use 0.9, or --optimizer sgd")
    is_on_cpu = all(parameter.device.type == "cpu" for group in groups for parameter in group["params"])
    if name == "muon" and not any(p.ndim == _FILTER_DIMENSIONS for group in groups for p in group["params"]):
        raise InputError("--optimizer", "muon is for convolutions, and none is trained here", "use nesterov")
    makers: dict[OptimizerName, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(groups, lr=lr, momentum=momentum, fused=True),
        "nesterov": lambda: torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=True, fused=True),
        "muon": lambda: Muon(groups, lr, momentum),
        "rmsprop": lambda: torch.optim.RMSprop(groups, lr=lr, foreach=True),
        "adagrad": lambda: torch.optim.Adagrad(groups, lr=lr, fused=is_on_cpu, foreach=not is_on_cpu),
        "adadelta": lambda: torch.optim.Adadelta(groups, lr=lr, foreach=True),
        "adam": lambda: torch.optim.Adam(groups, lr=lr, fused=True),
        "adamw": lambda: torch.optim.AdamW(groups, lr=lr, betas=_ADAMW_BETAS, fused=True),
    }
    return makers[name]()


class Muon(torch.optim.SGD):
    """SGD with Nesterov momentum, whose steps on the filters of convolutions are orthogonal matrices.

    Filters (C_out, C_in, H, W) are kept at a mean norm of 1, so that the learning rate is relative to them, and their
    gradient, as a matrix of C_out rows, is replaced by the nearest orthogonal one (Jordan et al. 2024,
    kellerjordan.github.io/posts/muon). torch.optim.Muon takes matrices only.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float) -> None:
        super().__init__(groups, lr=lr, momentum=momentum, nesterov=True, foreach=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # fit gives no closure
        """Update all parameters that have a gradient."""
        gradients = {}
        for group in self.param_groups:
            for filters in group["params"]:
                if filters.ndim == _FILTER_DIMENSIONS and filters.grad is not None:
                    gradient = gradients[filters] = filters.grad
                    average = self.state[filters].setdefault("momentum_buffer", torch.zeros_like(gradient))
                    average.mul_(_FILTER_MOMENTUM).add_(gradient)
                    direction = orthogonalized(gradient.add(average, alpha=_FILTER_MOMENTUM).flatten(1))
                    filters.mul_(len(filters) ** 0.5 / filters.norm().clamp(min=_TINY))
                    filters.sub_(group["lr"] * direction.view_as(filters))
                    filters.grad = None  # so that SGD leaves them
        super().step(closure)
        for filters, gradient in gradients.items():
            filters.grad = gradient


def orthogonalized(matrix: Tensor) -> Tensor:
    """A matrix (M, N) with its singular vectors, and singular values near 1, by a Newton-Schulz iteration."""
    a, b, c = _NEWTON_SCHULZ
    wide: Tensor = matrix.T if len(matrix) > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp(min=_TINY)
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.T if wide.shape != matrix.shape else wide


def define_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Start the momentum of SGD with zeros: its fused kernel leaves that of a first step that overflows undefined."""
    for group in optimizer.param_groups:
        if isinstance(optimizer, torch.optim.SGD) and group["momentum"]:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


@torch.no_grad()
def clear_tiny_averages(optimizer: torch.optim.Optimizer) -> None:
    """Set averages of gradients on the CPU whose size is at most 1e-32 to zero.

    Those of dead units, and of pixels that are always black, decay until they are subnormal: arithmetic with such
    numbers takes tens of times as long, so that after some 800 steps Adam's kernel may take most of a step.
    """
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, Tensor) and value.ndim and value.device.type == "cpu":
                value.copy_(F.hardshrink(value, _TINY))


class MovingAverage:
    """An exponential moving average of weights and running statistics (Polyak and Juditsky 1992).

    The decay is lower in the first steps, so that the initialization soon has no weight. Integer buffers, such as
    counters, are copied. torch.optim.swa_utils.AveragedModel keeps a second network; here the average is a dictionary
    of tensors, which a checkpoint can store and `swapped_weights` can load.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.tensors = _copy_weights(network)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Set the average to decay * average + (1 - decay) * weights, after step `step`, counted from 1."""
        weight = 1 - min(self._decay, (1 + step) / (_WARMUP + step))
        current = network.state_dict()
        floating = [name for name, tensor in self.tensors.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.tensors[n] for n in floating], [current[n] for n in floating], weight)
        for name in self.tensors.keys() - set(floating):
            self.tensors[name].copy_(current[name])


@contextmanager
def swapped_weights(network: nn.Module, tensors: dict[str, Tensor]) -> Iterator[None]:
    """Load other weights into a network for the duration of a `with` block."""
    own = _copy_weights(network)
    network.load_state_dict(tensors)
    try:
        yield
    finally:
        network.load_state_dict(own)


def _copy_weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
