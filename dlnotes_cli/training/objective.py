"""The objective of training: cross-entropy with label smoothing and class weights, and an L1 penalty."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

if TYPE_CHECKING:
    from dlnotes_cli.data.images.mix import TrainingBatch


def penalized_weights(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that L1 and L2 penalties act on: trained ones of two or more dimensions, so no biases."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad and parameter.ndim > 1]


class Objective:
    """Mean cross-entropy of a batch, with label smoothing and class weights, plus an L1 penalty on the weights."""

    def __init__(
        self, network: nn.Module, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None, l1: float = 0.0
    ) -> None:
        self._label_smoothing, self._class_weights, self._l1 = label_smoothing, class_weights, l1
        self._penalized = penalized_weights(network) if l1 else []

    def __call__(self, logits: Tensor, batch: "TrainingBatch") -> tuple[Tensor, Tensor]:
        """(objective, loss) of logits (N, K): the scalar to differentiate, and the plain cross-entropy in nats.

        For mixed images both are weighted means over the two labels.
        """
        objective, loss = self._losses(logits, batch.labels)
        if batch.mixed_labels is not None:
            other_objective, other_loss = self._losses(logits, batch.mixed_labels)
            objective = batch.weight * objective + (1 - batch.weight) * other_objective
            loss = batch.weight * loss + (1 - batch.weight) * other_loss
        for weight in self._penalized:
            objective = objective + self._l1 * weight.abs().sum()
        return objective, loss

    def _losses(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        objective = F.cross_entropy(logits, labels, self._class_weights, label_smoothing=self._label_smoothing)
        is_plain = not self._label_smoothing and self._class_weights is None
        return objective, objective.detach() if is_plain else F.cross_entropy(logits.detach(), labels)


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Class weights float32 (classes,): samples / (classes * samples of the class), as scikit-learn's "balanced"."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    return (len(labels) / (classes * counts)).float()
