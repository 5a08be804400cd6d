"""Optimizers with parameter groups: weight decay on matrices only, and learning rates by layer."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from dlnotes_cli.training.recipes import OptimizerName

_ADAMW_BETAS = (0.9, 0.99)  # PyTorch's default of 0.999 averages over more steps than short runs have


@dataclass(frozen=True)
class OptimizerOptions:
    """An optimizer's name and hyperparameters."""

    name: OptimizerName
    lr: float
    momentum: float  # used by sgd only
    weight_decay: float


def make_optimizer(
    network: nn.Module, options: OptimizerOptions, lr_factors: Mapping[str, float] | None = None
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
        {"params": grouped[key], "weight_decay": options.weight_decay if key[0] else 0.0, "lr_factor": key[1]}
        for key in sorted(grouped, reverse=True)
    ]
    if options.name == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum, fused=True)
    if options.name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=options.lr, foreach=True)
    if options.name == "adam":
        return torch.optim.Adam(groups, lr=options.lr, fused=True)
    return torch.optim.AdamW(groups, lr=options.lr, betas=_ADAMW_BETAS, fused=True)
