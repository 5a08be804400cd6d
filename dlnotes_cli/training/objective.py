"""What training minimizes: cross-entropy with label smoothing and class weights, and an L1 penalty."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

if TYPE_CHECKING:
    from dlnotes_cli.data.images.mix import TrainingBatch


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
