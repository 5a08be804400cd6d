"""The choice of a head's weight decay, by validation or by cross-validation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.dataset import DataSet, stratified_folds
from dlnotes_cli.inference.classifier import evaluate_probabilities
from dlnotes_cli.training.head_fit import HeadFit, HeadOptions, fit_heads
from dlnotes_cli.training.metrics import Evaluation, inference_batch_size
from dlnotes_cli.training.results import HistoryEntry
from dlnotes_cli.training.task import Poll

ScoredFit = tuple[HeadFit, Evaluation, Evaluation]  # on the samples of the fit, and on those held out


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


@dataclass(frozen=True)
class HeadSearch:
    """Fits a head to features with each of several weight decays, and chooses the one with the lowest held-out loss."""

    dataset: DataSet  # whose samples are features, float32 (N, F)
    views: list[NDArray[np.float32]]  # features (n, F) of the augmented training split, in its order
    options: HeadOptions
    decays: tuple[float, ...]
    device: torch.device
    poll: Poll
    groups: NDArray[np.int64] | None = None  # (N,) of samples that stay in one fold

    def run(self, folds: int | None, seed: int) -> FittedHead:
        """Choose the weight decay by the validation split, or by `folds`; then a head is fitted to both splits."""
        train, val = (self.dataset.splits[split] for split in ("train", "val"))
        samples, parts = train, [(train, val)]
        if folds is not None:
            samples = np.sort(np.concatenate([train, val]))
            parts = [
                (np.setdiff1d(samples, held_out), held_out)
                for held_out in stratified_folds(samples, self.dataset.labels, folds, seed, self.groups)
            ]
        scored = [self._fit_and_score(*part) for part in parts]
        history = _history(scored, len(samples))
        best = int(np.argmin([entry.validation.loss for entry in history]))
        if folds is None:
            return FittedHead(scored[0][best][0].head, history, best)
        decays = self.decays[best : best + 1] if self.options.hidden else self.decays[: best + 1]
        *_, final = self._fits(samples, decays)  # a linear head starts from the fits before it, as in the folds
        accuracies = [of_fold[best][2].accuracy for of_fold in scored]
        mean, std = float(np.mean(accuracies)), float(np.std(accuracies, ddof=1))
        return FittedHead(final.head, history, best, FoldSummary(folds, accuracies, mean, std))

    def _fit_and_score(self, train: NDArray[np.int64], held_out: NDArray[np.int64]) -> list[ScoredFit]:
        """For each weight decay, the fit to some samples, with its evaluation on them and on the held-out samples."""
        evaluated = partial(evaluate_head, dataset=self.dataset, device=self.device)
        return [
            (fit, evaluated(fit.head, indices=train), evaluated(fit.head, indices=held_out))
            for fit in self._fits(train, self.decays)
        ]

    def _fits(self, indices: NDArray[np.int64], decays: tuple[float, ...]) -> Iterator[HeadFit]:
        """Fits to some samples of the training and validation splits, and to the views of those that have views."""
        dataset, train = self.dataset, self.dataset.splits["train"]
        has_sample = np.isin(train, indices)
        features = np.concatenate([dataset.samples[indices], *(view[has_sample] for view in self.views)])
        labels = dataset.labels[np.concatenate([indices, *[train[has_sample]] * len(self.views)])]
        x, y = torch.from_numpy(features).to(self.device), torch.from_numpy(labels).to(self.device)
        return fit_heads(x, y, self.options, decays, self.poll)


def _history(scored: Sequence[Sequence[ScoredFit]], samples: int) -> list[HeadEntry]:
    """An entry for each weight decay, over all folds; each of the training `samples` is in one fold or more."""
    history: list[HeadEntry] = []
    passes = 0
    for of_decay in zip(*scored, strict=True):
        passes += sum(fit.passes for fit, _, _ in of_decay)
        train, val = (_pooled([evaluations[i] for _, *evaluations in of_decay]).metrics for i in (0, 1))
        decay = of_decay[0][0].weight_decay
        train = replace(train, samples=samples)
        history.append(HeadEntry(epoch=passes, step=passes, train=train, validation=val, weight_decay=decay))
    return history


def _pooled(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Several evaluations as one, over the samples of all of them."""
    loss = np.average([each.loss for each in evaluations], weights=[each.samples for each in evaluations])
    return Evaluation(float(loss), np.sum([each.confusion for each in evaluations], axis=0))


@torch.no_grad()
def evaluate_head(
    head: nn.Sequential, dataset: DataSet, indices: NDArray[np.int64], device: torch.device
) -> Evaluation:
    """The evaluation of a head on the features of some samples, always in fp32, with its predictions."""

    def answer(rows: NDArray[np.int64]) -> NDArray[np.floating]:
        features = torch.from_numpy(np.asarray(dataset.samples[rows])).to(device)
        return np.asarray(head(features).cpu().double().softmax(1).numpy())

    batch = inference_batch_size(dataset.samples.shape[1:])
    return evaluate_probabilities(
        answer, dataset.labels, indices, classes=len(dataset.classes), batch=batch, keep_predictions=True
    )
