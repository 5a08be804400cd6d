"""Metrics of a classifier: loss, accuracy, confusion matrix, and precision, recall and F1 of each class."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.training.inference_batch import inference_batch_size
from dlnotes_cli.training.stored_values import NAN_IF_NULL

if TYPE_CHECKING:
    from dlnotes_cli.data.batches import Split
    from dlnotes_cli.device import Runtime


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Means over the samples of a split; a value that is not finite is null in JSON."""

    loss: float = field(metadata=NAN_IF_NULL)  # cross-entropy in nats
    accuracy: float = field(metadata=NAN_IF_NULL)  # fraction of correct predictions
    samples: int


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall, F1 and number of samples of one class; a ratio 0 / 0 counts as 0, as in scikit-learn."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Predictions:
    """What a classifier predicts for each sample of a split, in its order."""

    labels: NDArray[np.int64]  # (N,)
    predicted: NDArray[np.int64]  # (N,)
    probabilities: NDArray[np.float32]  # (N,), of the predicted classes

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the true one, (N,)."""
        return np.equal(self.labels, self.predicted)


@dataclass(frozen=True)
class Evaluation:
    """Loss and confusion matrix of a classifier on labeled samples, and the metrics that follow from them."""

    loss: float  # cross-entropy in nats, mean per sample
    confusion: NDArray[np.int64]  # (K, K): rows are true classes, columns predicted ones
    within_top: dict[int, int] = field(default_factory=dict)  # k -> samples whose class is among the k most probable
    predictions: Predictions | None = None  # where `evaluate` was asked to keep them

    @property
    def samples(self) -> int:
        """The number of evaluated samples."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The fraction of correctly classified samples; nan without samples."""
        return float(np.trace(self.confusion) / self.samples) if self.samples else math.nan

    def per_class(self, classes: tuple[str, ...]) -> list[ClassScores]:
        """Precision, recall, F1 and support of every class, as scikit-learn computes them."""
        correct = np.diag(self.confusion)
        predicted, support = self.confusion.sum(axis=0), self.confusion.sum(axis=1)
        return [
            ClassScores(
                name, _ratio(correct[i], predicted[i]), _ratio(correct[i], support[i]),
                _ratio(2 * correct[i], predicted[i] + support[i]), int(support[i]),
            )
            for i, name in enumerate(classes)
        ]  # fmt: skip

    def macro_average(self) -> dict[str, float]:
        """Unweighted means of precision, recall and F1 over the classes that have samples or were predicted."""
        scores = self.per_class(tuple("" for _ in self.confusion))
        present = np.flatnonzero(self.confusion.sum(axis=0) + self.confusion.sum(axis=1))
        return {
            name: float(np.mean([getattr(scores[i], name) for i in present])) if len(present) else 0.0
            for name in ("precision", "recall", "f1")
        }

    @property
    def metrics(self) -> Metrics:
        """The metrics that every result contains."""
        return Metrics(loss=self.loss, accuracy=self.accuracy, samples=self.samples)


@torch.no_grad()
def evaluate(
    network: nn.Module,
    split: "Split",
    normalizer: Callable[[Tensor], Tensor],
    runtime: "Runtime",
    *,
    classes: int,
    top: tuple[int, ...] = (),
    keep_predictions: bool = False,
    poll: Callable[[], None] = lambda: None,
) -> Evaluation:
    """The evaluation of a network on a split, batch by batch, in evaluation mode.

    `top` are the k for which samples are counted whose class is among the k most probable. With `keep_predictions`
    the evaluation has the prediction for each sample. `poll` is called before each batch. Loss and counts are summed
    over the samples and divided once, so that the batch size has no effect.
    """
    was_training = network.training
    network.eval()
    loss_sum = torch.zeros((), dtype=torch.float64, device=split.indices.device)
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=split.indices.device)
    within_top = dict.fromkeys(top, 0)
    kept: list[tuple[Tensor, Tensor, Tensor]] = []
    try:
        for samples, labels in split.in_order(inference_batch_size(split.samples.shape[1:])):
            poll()
            logits = predict_logits(network, normalizer(samples), runtime)
            loss_sum += F.cross_entropy(logits, labels, reduction="sum").double()
            confusion += torch.bincount(labels * classes + logits.argmax(1), minlength=classes * classes)
            if keep_predictions:
                kept.append((labels, logits.argmax(1), logits.softmax(1).amax(1)))
            for k in top:
                within_top[k] += int((logits.topk(k, dim=1).indices == labels[:, None]).sum())
    finally:
        network.train(was_training)
    loss = float(loss_sum) / len(split) if len(split) else math.nan
    matrix = confusion.view(classes, classes).cpu().numpy()
    return Evaluation(loss, matrix, within_top, _joined(kept) if kept else None)


def _joined(batches: list[tuple[Tensor, Tensor, Tensor]]) -> Predictions:
    """The predictions for the samples of all batches."""
    labels, predicted, probabilities = (torch.cat(column).cpu().numpy() for column in zip(*batches, strict=True))
    return Predictions(labels, predicted, probabilities)


def predict_logits(network: nn.Module, x: Tensor, runtime: "Runtime") -> Tensor:
    """Logits (N, K) in float32 of normalized samples (N, ...), computed in the precision of the runtime."""
    with runtime.autocast():
        logits: Tensor = network(x)
    return logits.float()


def _ratio(count: int, total: int) -> float:
    return float(count / total) if total else 0.0
