"""Metrics and intervals, compared with scikit-learn, loops and known cases."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from dlnotes_cli.series.results import interval_offsets, measure, measure_coverage

RNG = np.random.default_rng(0)


def test_metrics_are_those_of_scikit_learn_and_of_a_loop() -> None:
    targets, forecasts, scales = RNG.normal(3, 2, (7, 4)), RNG.normal(3, 2, (7, 4)), RNG.uniform(0.5, 2, 7)
    measured = measure("m", forecasts, targets, scales)
    assert measured.mae == pytest.approx(mean_absolute_error(targets, forecasts))
    assert measured.rmse == pytest.approx(root_mean_squared_error(targets.ravel(), forecasts.ravel()))
    pairs = [
        (t, f, s)
        for row in zip(targets, forecasts, scales, strict=True)
        for t, f, s in zip(row[0], row[1], [row[2]] * 4, strict=True)
    ]
    assert measured.mase == pytest.approx(sum(abs(t - f) / s for t, f, s in pairs) / 28)
    assert measured.smape == pytest.approx(sum(200 * abs(t - f) / (abs(t) + abs(f)) for t, f, _ in pairs) / 28)


def test_mase_leaves_out_series_without_a_scale_and_is_undefined_without_any() -> None:
    errors = np.array([[1.0], [5.0]])
    assert measure("m", errors, np.zeros((2, 1)), np.array([2.0, np.nan])).mase == 0.5
    assert measure("m", errors, np.zeros((2, 1)), np.full(2, np.nan)).mase is None


def test_zero_for_zero_counts_as_no_error_in_smape() -> None:
    assert measure("m", np.array([[0.0, 1.0]]), np.array([[0.0, 0.0]]), np.ones(1)).smape == 100.0


@pytest.mark.parametrize("probability", [0.5, 0.8, 0.95])
def test_intervals_cover_new_errors_at_least_as_often_as_promised(probability: float) -> None:
    count, repeats = 39, 4000
    offsets = interval_offsets(RNG.exponential(size=(count, repeats)), probability)
    assert offsets is not None
    new = RNG.exponential(size=repeats)
    covered = ((new >= offsets[:, 0]) & (new <= offsets[:, 1])).mean()
    assert covered == pytest.approx(probability, abs=0.02)  # exact, as 40 errors fall into 40 equally likely places


def test_few_errors_make_no_interval() -> None:
    assert interval_offsets(np.zeros((9, 2)), 0.8) is None
    assert interval_offsets(np.zeros((10, 2)), 0.8) is not None


def test_coverage_is_measured_on_other_errors_than_those_of_the_interval() -> None:
    errors = np.concatenate([np.linspace(-1, 1, 20), np.full(5, 3.0), np.zeros(5)])[:, None]
    coverage = measure_coverage(errors, np.arange(20), np.arange(20, 30), 0.9)
    assert coverage is not None
    assert (coverage.coverage, coverage.targets) == (0.5, 10)
    assert measure_coverage(errors, np.arange(5), np.arange(20, 30), 0.9) is None
