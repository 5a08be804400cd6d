"""Metrics and intervals, compared with scikit-learn, loops and known cases."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from dlnotes_cli.series.results import interval_offsets, measure, measure_coverage

RNG = np.random.default_rng(0)


def test_metrics_are_those_of_scikit_learn_and_of_a_loop() -> None:
    targets, forecasts, scales = RNG.normal(3, 2, (7, 4)), RNG.normal(3, 2, (7, 4)), RNG.uniform(0.5, 2, 7)
    targets[0, 0] = forecasts[0, 0] = 0  # counts as no error
    pairs = list(zip(targets.ravel(), forecasts.ravel(), np.repeat(scales, 4), strict=True))
    expected = (
        mean_absolute_error(targets, forecasts), root_mean_squared_error(targets.ravel(), forecasts.ravel()),
        sum(abs(t - f) / s for t, f, s in pairs) / 28,
        sum(200 * abs(t - f) / (abs(t) + abs(f)) for t, f, _ in pairs[1:]) / 28,
    )  # fmt: skip
    measured = measure("m", forecasts, targets, scales)
    assert (measured.mae, measured.rmse, measured.mase, measured.smape) == pytest.approx(expected)
    for left, mase in ((2.0, 0.5), (np.nan, None)):  # without series that have no scale
        assert measure("m", np.array([[1.0], [5.0]]), np.zeros((2, 1)), np.array([left, np.nan])).mase == mase


@pytest.mark.parametrize("probability", [0.5, 0.8, 0.95])
def test_intervals_cover_new_errors_as_often_as_promised(probability: float) -> None:
    count, repeats = 39, 4000
    offsets = interval_offsets(RNG.exponential(size=(count, repeats)), probability)
    assert offsets is not None
    new = RNG.exponential(size=repeats)
    covered = ((new >= offsets[:, 0]) & (new <= offsets[:, 1])).mean()
    assert covered == pytest.approx(probability, abs=0.02)  # exact, as 40 errors fall into 40 equally likely places
    assert [interval_offsets(np.zeros((few, 2)), probability) is None for few in (9, 10)] == [True, False]


def test_coverage_is_measured_on_other_errors_than_those_of_the_interval() -> None:
    errors = np.concatenate([np.linspace(-1, 1, 20), np.full(5, 3.0), np.zeros(5)])[:, None]
    coverage = measure_coverage(errors, np.arange(20), np.arange(20, 30), 0.9)
    assert coverage is not None
    assert (coverage.coverage, coverage.targets) == (0.5, 10)
    assert measure_coverage(errors, np.arange(5), np.arange(20, 30), 0.9) is None
