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
    is among the k most probable; `poll` is called before each batch. With `keep_predictions` the evaluation has the
    prediction for each sample.
    """
    losses: list[float] = []
    within_top = dict.fromkeys(top, 0)
    of_split = labels[indices]
    predicted, largest = np.zeros(len(indices), np.int64), np.zeros(len(indices), np.float32)
    for start in range(0, len(indices), batch):
        poll()
        rows = slice(start, start + batch)
        probabilities = answer(indices[rows])
        true = probabilities[np.arange(len(probabilities)), of_split[rows]]
        losses.append(-np.log(np.maximum(true, SMALLEST), dtype=np.float64).sum())
        for k in top:
            within_top[k] += int((_most_probable(probabilities, k) == of_split[rows, None]).sum())
        predicted[rows], largest[rows] = probabilities.argmax(1), probabilities.max(1)
    loss = math.fsum(losses) / len(indices) if len(indices) else math.nan
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (of_split, predicted), 1)
    predictions = Predictions(of_split, predicted, largest) if keep_predictions and len(indices) else None
    return Evaluation(loss, confusion, within_top, predictions)


def _most_probable(probabilities: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """The k most probable classes of each sample, (N, k), in no order."""
    return np.argpartition(probabilities, -k, axis=1)[:, -k:]
