"""The search for a head's weight decay, by validation or by cross-validation."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.batches import Split
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.splits import stratified_folds
from dlnotes_cli.device import Runtime
from dlnotes_cli.training.metrics import Evaluation, evaluate
from dlnotes_cli.transfer.head_fit import HeadFit, HeadOptions, fit_path


@dataclass(frozen=True)
class FittedHead:
    """The chosen head, and the history of all fits that it was chosen from."""

    head: nn.Sequential
    history: list[dict[str, Any]]  # an entry for each weight decay
    best_index: int  # of the chosen entry
    folds: dict[str, Any] | None = None

    @property
    def passes(self) -> int:
        """Passes over the features, of all fits together."""
        return int(self.history[-1]["epoch"])


class HeadSearch:
    """Fits heads to features and chooses the best."""

    def __init__(
        self, dataset: DataSet, views: list[NDArray[np.float32]], options: HeadOptions, decays: tuple[float, ...],
        runtime: Runtime, poll: Callable[[], None],
    ) -> None:  # fmt: skip
        self._dataset, self._views, self._options, self._decays = dataset, views, options, decays
        self._runtime, self._poll = runtime, poll
        self._train, self._val = dataset.splits["train"], dataset.splits["val"]

    def by_validation(self) -> FittedHead:
        """Choose the weight decay with the lowest loss on the validation split."""
        history: list[dict[str, Any]] = []
        heads: list[nn.Sequential] = []
        for fit in self._fits(self._train):
            scores = [self._score(fit.head, split) for split in (self._train, self._val)]
            history.append(_entry(history, fit, *scores))
            heads.append(fit.head)
        best = _best(history)
        return FittedHead(heads[best], history, best)

    def in_folds(self, count: int, seed: int) -> FittedHead:
        """Choose the weight decay with the lowest loss over all folds, then fit a head to all samples."""
        everything = np.sort(np.concatenate([self._train, self._val]))
        folds = stratified_folds(everything, self._dataset.labels, count, seed)
        outcomes: list[list[tuple[HeadFit, Evaluation, Evaluation]]] = []  # by weight decay, then by fold
        for held in folds:
            kept = np.setdiff1d(everything, held)
            outcomes.append(
                [(fit, self._score(fit.head, kept), self._score(fit.head, held)) for fit in self._fits(kept)]
            )
        history: list[dict[str, Any]] = []
        for row in zip(*outcomes, strict=True):
            fits, train, val = zip(*row, strict=True)
            together = HeadFit(fits[0].head, fits[0].weight_decay, sum(fit.passes for fit in fits))
            history.append(_entry(history, together, _pooled(train), _pooled(val)))
            history[-1]["train"]["samples"] = len(everything)  # each of them trains in all folds but one
        best = _best(history)
        before = () if self._options.hidden else self._decays[:best]  # each fit starts from the one before it
        *_, final = self._fits(everything, (*before, self._decays[best]))
        accuracies = [fits[best][2].accuracy for fits in outcomes]
        spread = {
            "count": count,
            "accuracies": accuracies,
            "mean": float(np.mean(accuracies)),
            "std": float(np.std(accuracies, ddof=1)),
        }
        return FittedHead(final.head, history, best, spread)

    def _fits(self, chosen: NDArray[np.int64], decays: tuple[float, ...] | None = None) -> Iterator[HeadFit]:
        """Fits to some samples of the training and validation splits, with all their views."""
        device = self._runtime.device
        inside = np.isin(self._train, chosen)
        features = np.concatenate([self._dataset.samples[chosen], *(view[inside] for view in self._views)])
        labels = np.concatenate(
            [self._dataset.labels[chosen], *([self._dataset.labels[self._train[inside]]] * len(self._views))]
        )
        x, y = torch.from_numpy(features).to(device), torch.from_numpy(labels).to(device)
        return fit_path(x, y, self._options, decays or self._decays, self._poll)

    def _score(self, head: nn.Sequential, indices: NDArray[np.int64]) -> Evaluation:
        return evaluate_head(head, self._dataset, indices, self._runtime)


def _entry(history: list[dict[str, Any]], fit: HeadFit, train: Evaluation, val: Evaluation) -> dict[str, Any]:
    """An entry of the history; epochs are passes over the features, summed over the fits."""
    epoch = fit.passes + (history[-1]["epoch"] if history else 0)
    return {
        "epoch": epoch, "step": epoch, "weight_decay": fit.weight_decay,
        "train": train.as_json(), "validation": val.as_json(),
    }  # fmt: skip


def _best(history: list[dict[str, Any]]) -> int:
    return int(np.argmin([entry["validation"]["loss"] for entry in history]))


def _pooled(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Several evaluations as one, over the samples of all."""
    samples = sum(evaluation.samples for evaluation in evaluations)
    loss = sum(evaluation.loss * evaluation.samples for evaluation in evaluations) / samples
    return Evaluation(loss, np.sum([evaluation.confusion for evaluation in evaluations], axis=0))


def evaluate_head(head: nn.Sequential, dataset: DataSet, indices: NDArray[np.int64], runtime: Runtime) -> Evaluation:
    """The evaluation of a head on the features of some samples, in float32."""
    in_fp32 = Runtime(runtime.device, "fp32", runtime.threads)
    split = Split(
        torch.from_numpy(np.asarray(dataset.samples[indices])).to(runtime.device),
        torch.from_numpy(dataset.labels[indices]).to(runtime.device),
        torch.arange(len(indices), device=runtime.device),
    )
    return evaluate(head, split, lambda features: features, in_fp32, classes=len(dataset.classes))
