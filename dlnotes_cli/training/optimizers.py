"""From the words of a recipe to PyTorch objects: the optimizer and the loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

if TYPE_CHECKING:
    from dlnotes_cli.data.images.mix import TrainingBatch

_ADAMW_BETAS = (0.9, 0.99)  # short runs do better with a shorter memory than PyTorch's


@dataclass(frozen=True)
class OptimizerOptions:
    """Which optimizer, with what."""

    name: Literal["sgd", "adam", "adamw", "rmsprop"]
    lr: float
    momentum: float
    weight_decay: float


def make_optimizer(
    network: nn.Module, options: OptimizerOptions, lr_factors: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """The optimizer of a network; only weight matrices decay, never biases or normalization.

    `lr_factors` gives parameters, by name, a learning rate of their own; the loop multiplies by a group's `lr_factor`.
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


def penalized(network: nn.Module) -> list[nn.Parameter]:
    """The weights that penalties act on: those of two or more dimensions that are trained."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad and parameter.ndim > 1]


class Objective:
    """What training minimizes: cross-entropy with smoothing and class weights, and an L1 penalty on the weights."""

    def __init__(
        self, network: nn.Module, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None, l1: float = 0.0
    ) -> None:
        self._smoothing, self._weights, self._l1 = label_smoothing, class_weights, l1
        self._penalized = penalized(network) if l1 else []

    def __call__(self, logits: Tensor, batch: "TrainingBatch") -> tuple[Tensor, Tensor]:
        """(objective, plain cross-entropy): a scalar to differentiate, and the mean loss in nats that is reported.

        Where images were mixed, both are the sums over the two labels, weighted by their shares.
        """
        objective, plain = self._losses(logits, batch.labels)
        if batch.partners is not None:
            others = self._losses(logits, batch.partners)
            objective, plain = (
                batch.share * a + (1 - batch.share) * b for a, b in zip((objective, plain), others, strict=True)
            )
        for weight in self._penalized:
            objective = objective + self._l1 * weight.abs().sum()
        return objective, plain

    def _losses(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        objective = F.cross_entropy(logits, labels, self._weights, label_smoothing=self._smoothing)
        is_plain = not self._smoothing and self._weights is None
        return objective, objective.detach() if is_plain else F.cross_entropy(logits.detach(), labels)


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Samples / (classes * samples of the class), as scikit-learn's "balanced"; float32 (classes,)."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    return (len(labels) / (classes * counts)).float()
