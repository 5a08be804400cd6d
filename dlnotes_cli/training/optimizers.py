"""Optimizers with parameter groups: weight decay on matrices only, and learning rates by layer."""

from collections.abc import Mapping

import torch
from torch import nn

from dlnotes_cli.training.recipes import OptimizerSettings

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
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, fused=True)
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=settings.lr, foreach=True)
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=settings.lr, fused=True)
    return torch.optim.AdamW(groups, lr=settings.lr, betas=_ADAMW_BETAS, fused=True)
