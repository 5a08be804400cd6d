"""The choice of a head's weight decay, by validation or by cross-validation."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.batches import Split
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.splits import stratified_folds
from dlnotes_cli.device import Runtime
from dlnotes_cli.training.evaluation import evaluate
from dlnotes_cli.training.history import HistoryEntry
from dlnotes_cli.training.metrics import Evaluation, Metrics
from dlnotes_cli.transfer.head_fit import HeadFit, HeadOptions, fit_heads


@dataclass(frozen=True)
class FoldSummary:
    """The accuracy on each fold of a cross-validation, with mean and sample standard deviation."""

    count: int
    accuracies: list[float]
    mean: float
    std: float


@dataclass(frozen=True, kw_only=True)
class HeadEntry(HistoryEntry):
    """The fit of one weight decay; epochs and steps are passes over the features, cumulated."""

    weight_decay: float


@dataclass(frozen=True)
class FittedHead:
    """The chosen head, and the history of the fits among which it was chosen."""

    head: nn.Sequential
    history: list[HeadEntry]  # an entry for each weight decay
    best_index: int  # of the chosen weight decay in `history`
    folds: FoldSummary | None = None

    @property
    def passes(self) -> int:
        """The number of passes over the features in all fits."""
        return self.history[-1].epoch


class HeadSearch:
    """Fits a head to features with each of several weight decays, and chooses the best."""

    def __init__(
        self, dataset: DataSet, views: list[NDArray[np.float32]], options: HeadOptions, decays: tuple[float, ...],
        runtime: Runtime, poll: Callable[[], None],
    ) -> None:  # fmt: skip
        self._dataset, self._views, self._options, self._decays = dataset, views, options, decays
        self._runtime, self._poll = runtime, poll
        self._train, self._val = dataset.splits["train"], dataset.splits["val"]

    def by_validation(self) -> FittedHead:
        """Choose the weight decay with the lowest loss on the validation split."""
        history: list[HeadEntry] = []
        heads: list[nn.Sequential] = []
        for fit in self._fits(self._train):
            train, val = (self._score(fit.head, split).metrics for split in (self._train, self._val))
            history.append(_entry(history, fit, train, val))
            heads.append(fit.head)
        best = _lowest_loss(history)
        return FittedHead(heads[best], history, best)

    def by_cross_validation(self, count: int, seed: int) -> FittedHead:
        """Choose the weight decay with the lowest loss over `count` folds, then fit a head to all samples."""
        samples = np.sort(np.concatenate([self._train, self._val]))
        folds = stratified_folds(samples, self._dataset.labels, count, seed)
        scored = [self._fit_and_score(np.setdiff1d(samples, held_out), held_out) for held_out in folds]
        history: list[HeadEntry] = []
        for scored_of_decay in zip(*scored, strict=True):
            fits, train, val = zip(*scored_of_decay, strict=True)
            total = HeadFit(fits[0].head, fits[0].weight_decay, sum(fit.passes for fit in fits))
            pooled = replace(_pooled(train).metrics, samples=len(samples))  # each is in all folds but one
            history.append(_entry(history, total, pooled, _pooled(val).metrics))
        best = _lowest_loss(history)
        decays = self._decays[best : best + 1] if self._options.hidden else self._decays[: best + 1]
        *_, final = self._fits(samples, decays)  # a linear head starts from the fits before it, as in the folds
        return FittedHead(final.head, history, best, _summarize_folds([of_fold[best][2] for of_fold in scored]))

    def _fit_and_score(
        self, train: NDArray[np.int64], held_out: NDArray[np.int64]
    ) -> list[tuple[HeadFit, Evaluation, Evaluation]]:
        """For each weight decay, the fit to some samples, with its evaluation on them and on the held-out samples."""
        return [(fit, self._score(fit.head, train), self._score(fit.head, held_out)) for fit in self._fits(train)]

    def _fits(self, indices: NDArray[np.int64], decays: tuple[float, ...] | None = None) -> Iterator[HeadFit]:
        """Fits to some samples of the training and validation splits, and to the views of those that have views."""
        device = self._runtime.device
        has_sample = np.isin(self._train, indices)
        features = np.concatenate([self._dataset.samples[indices], *(view[has_sample] for view in self._views)])
        labels = np.concatenate(
            [self._dataset.labels[indices], *([self._dataset.labels[self._train[has_sample]]] * len(self._views))]
        )
        x, y = torch.from_numpy(features).to(device), torch.from_numpy(labels).to(device)
        return fit_heads(x, y, self._options, decays or self._decays, self._poll)

    def _score(self, head: nn.Sequential, indices: NDArray[np.int64]) -> Evaluation:
        return evaluate_head(head, self._dataset, indices, self._runtime)


def _entry(history: list[HeadEntry], fit: HeadFit, train: Metrics, val: Metrics) -> HeadEntry:
    """The entry of a fit, to append to the history."""
    epoch = fit.passes + (history[-1].epoch if history else 0)
    return HeadEntry(epoch=epoch, step=epoch, train=train, validation=val, weight_decay=fit.weight_decay)


def _lowest_loss(history: list[HeadEntry]) -> int:
    """The index of the entry with the lowest validation loss."""
    return int(np.argmin([entry.validation.loss for entry in history]))


def _summarize_folds(evaluations: Sequence[Evaluation]) -> FoldSummary:
    accuracies = [evaluation.accuracy for evaluation in evaluations]
    return FoldSummary(len(accuracies), accuracies, float(np.mean(accuracies)), float(np.std(accuracies, ddof=1)))


def _pooled(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Several evaluations as one, over the samples of all of them."""
    samples = sum(evaluation.samples for evaluation in evaluations)
    loss = sum(evaluation.loss * evaluation.samples for evaluation in evaluations) / samples
    return Evaluation(loss, np.sum([evaluation.confusion for evaluation in evaluations], axis=0))


def evaluate_head(head: nn.Sequential, dataset: DataSet, indices: NDArray[np.int64], runtime: Runtime) -> Evaluation:
    """The evaluation of a head on the features of some samples, always in fp32, with its predictions."""
    in_fp32 = Runtime(runtime.device, "fp32", runtime.threads)
    split = Split(
        torch.from_numpy(np.asarray(dataset.samples[indices])).to(runtime.device),
        torch.from_numpy(dataset.labels[indices]).to(runtime.device),
        torch.arange(len(indices), device=runtime.device),
    )
    return evaluate(
        head, split, lambda features: features, in_fp32, classes=len(dataset.classes), keep_predictions=True
    )
