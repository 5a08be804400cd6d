"""The objective of training: cross-entropy with label smoothing and class weights, and an L1 penalty."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.training.distributed import Processes
from dlnotes_cli.training.task import Batch, StepLoss

if TYPE_CHECKING:
    from dlnotes_cli.data.images.augment import TrainingBatch


class SampleShare(NamedTuple):
    """The samples of a batch that are computed together."""

    part: "TrainingBatch"
    whole: "TrainingBatch | None"  # the batch, whose labels determine the weight of the part; None: it is all


def in_shares(part: "TrainingBatch", whole: "TrainingBatch", processes: Processes, accumulate: int) -> Batch:
    """A batch in the shares of this process, which has the samples `part` of it; of `whole` the labels are read."""
    parts, samples = part.parts(accumulate), len(whole.labels)
    is_all = len(parts) == 1 and processes.is_alone
    shares = [SampleShare(each, None if is_all else whole) for each in parts]
    return Batch(shares, samples, processes.rank < samples)


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

    def __call__(
        self, logits: Tensor, batch: "TrainingBatch", whole: "TrainingBatch | None" = None
    ) -> tuple[Tensor, Tensor]:
        """(objective, loss) of logits (N, K): the scalar to differentiate, and the plain cross-entropy in nats.

        For mixed images both are weighted means over the two labels. Where `batch` is a part of a `whole` one, the
        objective is the share of the part: those of all parts add up to that of the whole batch.
        """
        objective, loss = self._losses(logits, batch.labels, None if whole is None else whole.labels)
        if batch.mixed_labels is not None:
            all_labels = None if whole is None else whole.mixed_labels
            other_objective, other_loss = self._losses(logits, batch.mixed_labels, all_labels)
            objective = batch.weight * objective + (1 - batch.weight) * other_objective
            loss = batch.weight * loss + (1 - batch.weight) * other_loss
        share = 1.0 if whole is None else len(batch.labels) / len(whole.labels)
        for weight in self._penalized:
            objective = objective + share * self._l1 * weight.abs().sum()
        return objective, loss

    def of_share(self, logits: Tensor, share: SampleShare) -> StepLoss:
        """The objective of the logits (N, K) of a share, its plain loss and the number of correct samples."""
        part = share.part
        objective, loss = self(logits, part, share.whole)
        correct = (logits.detach().argmax(1) == part.dominant).sum()
        return StepLoss(objective, loss * len(part.labels), correct)

    def _losses(self, logits: Tensor, labels: Tensor, all_labels: Tensor | None) -> tuple[Tensor, Tensor]:
        objective = F.cross_entropy(logits, labels, self._class_weights, label_smoothing=self._label_smoothing)
        is_plain = not self._label_smoothing and self._class_weights is None
        loss = objective.detach() if is_plain else F.cross_entropy(logits.detach(), labels)
        return objective if all_labels is None else objective * self._share(labels, all_labels), loss

    def _share(self, labels: Tensor, all_labels: Tensor) -> Tensor | float:
        """The share of a part in the mean over a batch: by samples, or by their class weights."""
        if self._class_weights is None:
            return len(labels) / len(all_labels)
        return self._class_weights[labels].sum() / self._class_weights[all_labels].sum()


def weights_of_classes(
    labels: Tensor, classes: int, *, is_balanced: bool, given: Sequence[float] | None = None
) -> Tensor | None:
    """The weights of classes in the loss, float32 (classes,): `given` ones, or those that balance the labels.

    None where all classes have the same weight.
    """
    if given is not None:
        return torch.tensor(given, device=labels.device)
    return balanced_weights(labels, classes) if is_balanced else None


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Class weights float32 (classes,): samples / (classes * samples of the class), as scikit-learn's "balanced"."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    return (len(labels) / (classes * counts)).float()
