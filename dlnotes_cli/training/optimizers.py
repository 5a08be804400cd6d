"""Optimizers with parameter groups: weight decay for matrices alone, and learning rates by layer."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from dlnotes_cli.training.recipes import OptimizerName

_ADAMW_BETAS = (0.9, 0.99)  # a shorter memory than PyTorch's default suits short runs


@dataclass(frozen=True)
class OptimizerOptions:
    """An optimizer's name and hyper-parameters."""

    name: OptimizerName
    lr: float
    momentum: float  # of sgd
    weight_decay: float


def make_optimizer(
    network: nn.Module, options: OptimizerOptions, lr_factors: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """The optimizer of a network; only weights of two or more dimensions decay, never biases or normalization.

    `lr_factors` scales the learning rate by parameter name; the training loop multiplies by a group's `lr_factor`.
    """
    members: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            key = parameter.ndim > 1, (lr_factors or {}).get(name, 1.0)
            members.setdefault(key, []).append(parameter)
    groups = [
        {"params": members[key], "weight_decay": options.weight_decay if key[0] else 0.0, "lr_factor": key[1]}
        for key in sorted(members, reverse=True)
    ]
    if options.name == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum, fused=True)
    if options.name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=options.lr, foreach=True)
    if options.name == "adam":
        return torch.optim.Adam(groups, lr=options.lr, fused=True)
    return torch.optim.AdamW(groups, lr=options.lr, betas=_ADAMW_BETAS, fused=True)
