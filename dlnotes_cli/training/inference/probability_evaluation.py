"""The evaluation of a classifier from the probabilities that it gives."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.training.metrics import Evaluation, Predictions

SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 in float32 has an infinite logarithm


def evaluate_probabilities(
    answer: Callable[[NDArray[np.int64]], NDArray[np.floating]],
    labels: NDArray[np.int64],
    indices: NDArray[np.int64],
    *,
    classes: int,
    batch: int,
    top: tuple[int, ...] = (),
    poll: Callable[[], None] = lambda: None,
    keep_predictions: bool = False,
) -> Evaluation:
    """The evaluation on the samples at `indices`, whose probabilities (n, classes) `answer` returns, batch by batch.

    Probabilities below the smallest float32 count as that. `top` are the k for which samples are counted whose class
    is among the k most probable; `poll` is called before each batch.
    """
    loss_sum, confusion = 0.0, np.zeros((classes, classes), np.int64)
    within_top = dict.fromkeys(top, 0)
    kept: list[Predictions] = []
    for start in range(0, len(indices), batch):
        poll()
        chunk = indices[start : start + batch]
        of_chunk, probabilities = labels[chunk], answer(chunk)
        true = probabilities[np.arange(len(chunk)), of_chunk]
        loss_sum -= float(np.log(np.maximum(true, SMALLEST), dtype=np.float64).sum())
        predicted = probabilities.argmax(1)
        np.add.at(confusion, (of_chunk, predicted), 1)
        for k in top:
            within_top[k] += int((_most_probable(probabilities, k) == of_chunk[:, None]).sum())
        if keep_predictions:
            kept.append(Predictions(of_chunk, predicted, probabilities.max(1).astype(np.float32)))
    loss = loss_sum / len(indices) if len(indices) else math.nan
    return Evaluation(loss, confusion, within_top, Predictions.joined(kept) if kept else None)


def _most_probable(probabilities: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """The k most probable classes of each sample, (N, k), in no order."""
    return np.argpartition(probabilities, -k, axis=1)[:, -k:]
