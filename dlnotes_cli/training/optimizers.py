"""Optimizers with parameter groups: weight decay on matrices only, and learning rates by layer."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.recipes import OptimizerName, OptimizerSettings

_TINY = 1e-32  # an average this small has no effect: its root is far below the `eps` of every optimizer
_ADAMW_BETAS = (0.9, 0.99)  # PyTorch's default of 0.999 averages over more steps than short runs have


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
    if name == "nesterov" and not momentum:
        raise InputError("--momentum", "nesterov needs a momentum above 0", "use 0.9, or --optimizer sgd")
    is_on_cpu = all(parameter.device.type == "cpu" for group in groups for parameter in group["params"])
    makers: dict[OptimizerName, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(groups, lr=lr, momentum=momentum, fused=True),
        "nesterov": lambda: torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=True, fused=True),
        "rmsprop": lambda: torch.optim.RMSprop(groups, lr=lr, foreach=True),
        "adagrad": lambda: torch.optim.Adagrad(groups, lr=lr, fused=is_on_cpu, foreach=not is_on_cpu),
        "adadelta": lambda: torch.optim.Adadelta(groups, lr=lr, foreach=True),
        "adam": lambda: torch.optim.Adam(groups, lr=lr, fused=True),
        "adamw": lambda: torch.optim.AdamW(groups, lr=lr, betas=_ADAMW_BETAS, fused=True),
    }
    return makers[name]()


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
