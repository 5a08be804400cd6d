"""The comparison of two models on the same samples, against scipy and in simulations."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, bootstrap
from sklearn.metrics import f1_score

from dlnotes_cli.runs.significance import compare_samples, f1_columns, macro_f1, mcnemar

TRIALS = 200


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 30))
def test_mcnemar_against_the_binomial_test(only_first: int, only_second: int, both: int) -> None:
    first = np.repeat([True, False, True], [only_first, only_second, both])
    second = np.repeat([False, True, True], [only_first, only_second, both])
    total = only_first + only_second
    expected = binomtest(only_first, total).pvalue if total else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", ["correct", "loss"])
def test_the_interval_against_the_bootstrap_of_scipy(kind: str) -> None:
    generator = np.random.default_rng(1)
    first: Any
    second: Any
    if kind == "correct":
        first, second = generator.random(400) < 0.8, generator.random(400) < 0.85
    else:
        first, second = generator.exponential(1, 400), generator.exponential(0.9, 400)
    found = compare_samples(first, second, confidence=0.9, seed=3)
    change = second.astype(float) - first
    assert found.difference == pytest.approx(change.mean())
    interval = bootstrap(
        (change,), np.mean, confidence_level=0.9, n_resamples=20_000, method="percentile", rng=generator
    ).confidence_interval
    width = interval.high - interval.low
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.06 * width)
    assert (found.p_value is None) == (kind == "loss")


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(1, 40))
def test_macro_f1_against_scikit_learn(seed: int, classes: int, samples: int) -> None:
    labels, predicted = np.random.default_rng(seed).integers(classes, size=(2, samples))
    means = f1_columns(labels, predicted, classes).mean(axis=0, keepdims=True)
    assert macro_f1(means)[0] == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0))


def test_the_interval_of_macro_f1_against_a_plain_loop() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=150)
    first, second = (np.where(generator.random(150) < right, labels, 0) for right in (0.6, 0.8))
    columns = [f1_columns(labels, predicted, 3) for predicted in (first, second)]
    found = compare_samples(*columns, score=macro_f1)
    drawn = []
    for _ in range(1000):
        chosen = generator.integers(150, size=150)
        scores = [
            f1_score(labels[chosen], p[chosen], average="macro", labels=[0, 1, 2], zero_division=0)
            for p in (first, second)
        ]
        drawn.append(scores[1] - scores[0])
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.12 * (high - low))
    assert found.is_more_than_chance


@pytest.mark.parametrize("kind", ["correct", "loss"])
def test_equally_good_models_are_rarely_called_different(kind: str) -> None:
    """In 5 % of the trials with losses; the exact test of few differing samples is stricter, and never above 5 %."""
    generator = np.random.default_rng(2)
    called = 0
    for _ in range(TRIALS):
        common, own = generator.random(300), generator.random((2, 300))
        skill = 0.5 * common + 0.5 * own
        first, second = (skill[0] < 0.6, skill[1] < 0.6) if kind == "correct" else skill
        called += compare_samples(first, second).is_more_than_chance
    low, high = (float(binom.ppf(quantile, TRIALS, 0.05)) for quantile in (1e-4, 1 - 1e-4))
    assert (1 if kind == "correct" else low) <= called <= high


def test_a_model_is_not_different_from_itself_and_other_samples_are_refused() -> None:
    correct = np.array([True, False, True])
    found = compare_samples(correct, correct)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert not found.is_more_than_chance
    with pytest.raises(ValueError, match="3 and 2 samples"):
        compare_samples(correct, correct[:2])
    one = compare_samples(correct, ~correct, seed=1)
    assert one == compare_samples(correct, ~correct, seed=1)
