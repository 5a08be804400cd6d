"""Which weight decay suits a head: judged on a validation split, or by cross-validation."""

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
from dlnotes_cli.transfer.head_fit import Fit, HeadOptions, fit_path


@dataclass(frozen=True)
class Solved:
    """The chosen head, every fit that it was chosen from, and where the features went in."""

    head: nn.Sequential
    history: list[dict[str, Any]]  # an entry for each weight decay
    best: int  # the chosen one, counted from 1
    folds: dict[str, Any] | None = None

    @property
    def passes(self) -> int:
        """Over the features, in all."""
        return int(self.history[-1]["epoch"])


class HeadSearch:
    """The solving of heads on some features."""

    def __init__(
        self, dataset: DataSet, views: list[NDArray[np.float32]], options: HeadOptions, decays: tuple[float, ...],
        runtime: Runtime, poll: Callable[[], None],
    ) -> None:  # fmt: skip
        self._dataset, self._views, self._options, self._decays = dataset, views, options, decays
        self._runtime, self._poll = runtime, poll
        self._train, self._val = dataset.splits["train"], dataset.splits["val"]

    def by_validation(self) -> Solved:
        """Choose the weight decay by the loss on the validation split."""
        history: list[dict[str, Any]] = []
        heads: list[nn.Sequential] = []
        for fit in self._fits(self._train):
            scores = [self._score(fit.head, part) for part in (self._train, self._val)]
            history.append(_entry(history, fit, *scores))
            heads.append(fit.head)
        best = _best(history)
        return Solved(heads[best - 1], history, best)

    def in_folds(self, count: int, seed: int) -> Solved:
        """Choose the weight decay by the loss over all folds, each judged by a head that has not seen it; fit all."""
        everything = np.sort(np.concatenate([self._train, self._val]))
        folds = stratified_folds(everything, self._dataset.labels, count, seed)
        outcomes: list[list[tuple[Fit, Evaluation, Evaluation]]] = []  # by weight decay, then by fold
        for held in folds:
            kept = np.setdiff1d(everything, held)
            outcomes.append(
                [(fit, self._score(fit.head, kept), self._score(fit.head, held)) for fit in self._fits(kept)]
            )
        history: list[dict[str, Any]] = []
        for row in zip(*outcomes, strict=True):
            fits, train, val = zip(*row, strict=True)
            together = Fit(fits[0].head, fits[0].weight_decay, sum(fit.passes for fit in fits))
            history.append(_entry(history, together, _pooled(train), _pooled(val)))
            history[-1]["train"]["samples"] = len(everything)  # each of them in all folds but one
        best = _best(history)
        before = () if self._options.hidden else self._decays[: best - 1]  # from which the next one begins
        *_, final = self._fits(everything, (*before, self._decays[best - 1]))
        accuracies = [fits[best - 1][2].accuracy for fits in outcomes]
        spread = {
            "count": count,
            "accuracies": accuracies,
            "mean": float(np.mean(accuracies)),
            "std": float(np.std(accuracies, ddof=1)),
        }
        return Solved(final.head, history, best, spread)

    def _fits(self, chosen: NDArray[np.int64], decays: tuple[float, ...] | None = None) -> Iterator[Fit]:
        """Fits on some samples of the training and validation splits, with all their views."""
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


def _entry(history: list[dict[str, Any]], fit: Fit, train: Evaluation, val: Evaluation) -> dict[str, Any]:
    """A line of metrics.jsonl; epochs are passes over the features, counted on."""
    epoch = fit.passes + (history[-1]["epoch"] if history else 0)
    return {
        "epoch": epoch, "step": epoch, "weight_decay": fit.weight_decay,
        "train": train.as_json(), "validation": val.as_json(),
    }  # fmt: skip


def _best(history: list[dict[str, Any]]) -> int:
    return 1 + int(np.argmin([entry["validation"]["loss"] for entry in history]))


def _pooled(parts: Sequence[Evaluation]) -> Evaluation:
    """One evaluation of the samples of several."""
    samples = sum(part.samples for part in parts)
    loss = sum(part.loss * part.samples for part in parts) / samples
    return Evaluation(loss, np.sum([part.confusion for part in parts], axis=0))


def evaluate_head(head: nn.Sequential, dataset: DataSet, indices: NDArray[np.int64], runtime: Runtime) -> Evaluation:
    """A head on the features of some samples."""
    plain = Runtime(runtime.device, "fp32", runtime.threads)
    part = Split(
        torch.from_numpy(np.asarray(dataset.samples[indices])).to(runtime.device),
        torch.from_numpy(dataset.labels[indices]).to(runtime.device),
        torch.arange(len(indices), device=runtime.device),
    )
    return evaluate(head, part, lambda features: features, plain, classes=len(dataset.classes))
