"""Whether the difference between two models on the same samples is more than chance."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
Score = Callable[[Values], Values]  # of means (m, k) of the columns of samples, (m,)
RESAMPLES = 4_000
_MOST_COUNTS = 1 << 22  # in memory at once


@dataclass(frozen=True)
class SampleDifference:
    """The difference of a metric between two models, the second minus the first."""

    difference: float
    low: float  # of the bootstrap interval
    high: float
    p_value: float | None  # of McNemar's test; None where samples are not correct or wrong
    is_more_than_chance: bool


def compare_samples(
    first: Values, second: Values, *, confidence: float = 0.95, seed: int = 0, score: Score | None = None
) -> SampleDifference:
    """Compare two models by what each has for the same samples: whether it is correct (N,), its loss (N,), or columns.

    Of columns (N, k), `score` makes metrics (m,) from means (m, k); without it, the metric is the mean. The interval is
    that of the percentiles of 4,000 bootstrap resamples of the pairs (Efron and Tibshirani 1993, chapter 13). Booleans
    are compared by McNemar's exact test, and other values are more than chance where the interval excludes 0. Raises
    ValueError for other numbers of samples.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} samples")
    columns = [np.asarray(values, float).reshape(len(values), -1) for values in (first, second)]
    metric = score or (lambda means: means[:, 0])
    of_first, of_second = (metric(values.mean(axis=0, keepdims=True)) for values in columns)
    if np.array_equal(columns[0], columns[1]):
        return SampleDifference(0.0, 0.0, 0.0, 1.0 if first.dtype == bool else None, is_more_than_chance=False)
    drawn = [
        metric(counts @ columns[1] / len(first)) - metric(counts @ columns[0] / len(first))
        for counts in _resamples(len(first), seed)
    ]
    low, high = np.quantile(np.concatenate(drawn), [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    p_value = mcnemar(first, second) if first.dtype == second.dtype == bool else None
    is_more = not low <= 0 <= high if p_value is None else p_value < 1 - confidence
    return SampleDifference(float((of_second - of_first)[0]), low, high, p_value, is_more)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """The two-sided p-value of McNemar's exact test (1947) of which samples (N,) two classifiers get right.

    Of the samples that only one of them gets right, each has half: a binomial test.
    """
    from scipy.special import bdtr

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def f1_columns(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> Values:
    """What `macro_f1` needs of each sample (N, 2 * classes): whether a class is hit, and how often it is named."""
    true, found = np.eye(classes)[labels], np.eye(classes)[predicted]
    return np.concatenate([true * found, true + found], axis=1)


def macro_f1(means: Values) -> Values:
    """Macro-F1 (m,) of means (m, 2 * classes) of `f1_columns`: the mean over classes with samples or predictions."""
    hits, named = np.split(means, 2, axis=1)
    scores = np.divide(2 * hits, named, out=np.zeros_like(hits), where=named > 0)
    return np.asarray(scores.sum(axis=1) / (named > 0).sum(axis=1))


def _resamples(count: int, seed: int) -> Iterator[Values]:
    """How often each of `count` samples is drawn in each resample, (m, count), in several arrays."""
    generator = np.random.default_rng(seed)
    most = max(1, _MOST_COUNTS // count)
    for start in range(0, RESAMPLES, most):
        rows = min(most, RESAMPLES - start)
        drawn = generator.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(float)
