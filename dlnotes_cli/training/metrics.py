"""Metrics of a classifier, of all samples and of each class, and which of them ranks validations."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.shell.codec import NAN_IF_NULL

MonitorName = Literal["loss", "accuracy", "macro-f1"]
LARGE_VALIDATION = 5_000  # samples from which accuracy is a reliable measure
_IMBALANCE = 1.25  # share of the largest class, relative to that of classes of equal size, from which it is told
_MAX_BATCH = 1024  # samples of a forward pass without gradients
_MAX_BATCH_VALUES = 1 << 22  # pixels times channels, or columns, of all samples


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Means over the samples of a split; a value that is not finite is null in JSON."""

    has_accuracy: ClassVar[bool] = True  # whether the samples have classes; without, the accuracy is nan

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
class Balance:
    """Measures that a frequent class does not dominate."""

    balanced_accuracy: float = field(metadata=NAN_IF_NULL)  # mean recall of the classes that have samples
    matthews: float = field(metadata=NAN_IF_NULL)  # correlation of true and predicted classes, -1 to 1; 0 by chance
    macro_f1: float = field(metadata=NAN_IF_NULL)  # mean F1 of the classes that have samples or were predicted

    def text(self, majority: float, classes: int) -> str:
        """The measures as text; empty unless the share `majority` of the largest class is much above its fair share."""
        if not majority * classes > _IMBALANCE:
            return ""
        values = f"balanced accuracy {self.balanced_accuracy:.4f}, Matthews' coefficient {self.matthews:.4f}"
        return f"{values}, macro-F1 {self.macro_f1:.4f}"


@dataclass(frozen=True)
class Predictions:
    """What a classifier predicts for each sample of a split, in its order."""

    labels: NDArray[np.int64]  # (N,)
    predicted: NDArray[np.int64]  # (N,)
    probabilities: NDArray[np.float32]  # (N,), of the predicted classes
    losses: NDArray[np.float64]  # (N,), cross-entropy in nats

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
    predictions: Predictions | None = None  # where they were to be kept

    @classmethod
    def of(
        cls, batches: Iterable[tuple[NDArray[np.int64], NDArray[Any]]], classes: int, *, top: Sequence[int] = (),
        keep_predictions: bool = False,
    ) -> Self:  # fmt: skip
        """The evaluation of batches, each of labels (n,) and log-probabilities (n, classes).

        `top` are the k for which samples are counted whose class is among the k most probable. Losses and counts are
        summed over all samples and divided once, so that the batch size has no effect.
        """
        losses: list[float] = []
        confusion, within_top = np.zeros((classes, classes), np.int64), dict.fromkeys(top, 0)
        kept: list[tuple[NDArray[Any], ...]] = []
        for labels, logarithms in batches:
            predicted = logarithms.argmax(1)
            of_samples = -logarithms[np.arange(len(labels)), labels]
            losses.append(of_samples.sum(dtype=np.float64))
            np.add.at(confusion, (labels, predicted), 1)
            for k in top:
                within_top[k] += int((np.argpartition(logarithms, -k, axis=1)[:, -k:] == labels[:, None]).sum())
            if keep_predictions:
                kept.append((labels, predicted, np.exp(logarithms.max(1)).astype(np.float32), of_samples))
        loss = math.fsum(losses) / int(confusion.sum()) if losses else math.nan
        predictions = Predictions(*map(np.concatenate, zip(*kept, strict=True))) if kept else None
        return cls(loss, confusion, within_top, predictions)

    @property
    def samples(self) -> int:
        """The number of evaluated samples."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The fraction of correctly classified samples; nan without samples."""
        return float(np.trace(self.confusion) / self.samples) if self.samples else math.nan

    @property
    def majority(self) -> float:
        """The accuracy of always answering the most frequent class of these samples; nan without samples."""
        return float(self.confusion.sum(axis=1).max() / self.samples) if self.samples else math.nan

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
    def balance(self) -> Balance:
        """Measures that a frequent class does not dominate; nan without samples.

        Matthews' coefficient is that of several classes (Gorodkin 2004), as scikit-learn has it.
        """
        true, predicted = (self.confusion.sum(axis=axis).astype(float) for axis in (1, 0))
        if not self.samples:
            return Balance(math.nan, math.nan, math.nan)
        recalls = np.diag(self.confusion)[true > 0] / true[true > 0]
        covariance = np.trace(self.confusion) * self.samples - true @ predicted
        scale = math.sqrt((self.samples**2 - true @ true) * (self.samples**2 - predicted @ predicted))
        macro_f1 = self.macro_average()["f1"]
        return Balance(float(recalls.mean()), float(covariance / scale) if scale else 0.0, macro_f1)

    @property
    def metrics(self) -> Metrics:
        """The metrics that every result contains."""
        return Metrics(loss=self.loss, accuracy=self.accuracy, samples=self.samples)


@dataclass(frozen=True, kw_only=True)
class MacroMetrics(Metrics):
    """The metrics of a validation that macro-F1 ranks."""

    macro_f1: float = field(metadata=NAN_IF_NULL)  # unweighted mean over the classes


@dataclass(frozen=True)
class Monitored:
    """What chose the best epoch, and its value there."""

    name: str  # a MonitorName
    value: float = field(metadata=NAN_IF_NULL)


@dataclass(frozen=True)
class Monitor:
    """A ranking of validations."""

    name: MonitorName

    @classmethod
    def of(cls, choice: Literal["auto", "loss", "accuracy", "macro-f1"], samples: int) -> Self:
        """The ranking that `--monitor` names, for a number of validation samples.

        `auto` is accuracy from 5,000 samples on: below, the loss is far less noisy.
        """
        if choice != "auto":
            return cls(choice)
        return cls("accuracy" if samples >= LARGE_VALIDATION else "loss")

    @property
    def metrics_type(self) -> type[Metrics]:
        """The class of the metrics of a validation."""
        return MacroMetrics if self.name == "macro-f1" else Metrics

    def metrics(self, evaluation: Evaluation) -> Metrics:
        """The metrics of a validation, with those that the ranking needs."""
        if self.name != "macro-f1":
            return evaluation.metrics
        return MacroMetrics(**vars(evaluation.metrics), macro_f1=evaluation.macro_average()["f1"])

    def value(self, metrics: Metrics) -> float:
        """The monitored metric."""
        return float(getattr(metrics, self.name.replace("-", "_")))

    def rank(self, metrics: Metrics) -> tuple[float, ...]:
        """A sort key, largest for the best validation; the loss decides between equal ones."""
        return (-metrics.loss,) if self.name == "loss" else (self.value(metrics), -metrics.loss)


def _ratio(count: int, total: int) -> float:
    return float(count / total) if total else 0.0


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """The softmax over the last axis, in the type of the logits; the largest is subtracted, so that none overflows.

    >>> softmax(np.array([[1000.0, 1000.0]])).tolist()
    [[0.5, 0.5]]
    """
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def inference_batch_size(shape: Sequence[int]) -> int:
    """The number of samples of `shape` in a forward pass without gradients; fewer for large images."""
    return max(1, min(_MAX_BATCH, _MAX_BATCH_VALUES // math.prod(shape)))
