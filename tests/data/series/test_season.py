"""The season that autocorrelation finds."""

import numpy as np
import pytest

from dlnotes_cli.data.series.season import _squared_differences as squared_differences
from dlnotes_cli.data.series.season import find_season
from dlnotes_cli.data.series.series_set import sine, trend_season

RNG = np.random.default_rng(0)
STEPS = np.arange(600)


@pytest.mark.parametrize("season", [2, 7, 12, 24])
@pytest.mark.parametrize("trend", [0.0, 0.05])
def test_a_season_is_found_despite_trend_and_noise(season: int, trend: float) -> None:
    shape = np.random.default_rng(season).normal(size=season)
    values = shape[STEPS % season] + trend * STEPS + RNG.normal(0, 0.1, len(STEPS))
    assert find_season([values]) == season


@pytest.mark.parametrize(
    "values",
    [
        RNG.normal(size=500),
        RNG.normal(size=2000).cumsum(),
        np.ones(100),
        np.arange(100.0),
        np.array([1.0, 2.0]),
        np.array([]),
    ],
    ids=["noise", "random walk", "constant", "trend", "short", "empty"],
)
def test_series_without_a_season_have_none(values: np.ndarray) -> None:
    assert find_season([values]) == 1


def test_the_weekly_season_is_chosen_where_it_explains_more_than_the_daily_one() -> None:
    assert find_season([trend_season().series[0].target]) == 168
    assert find_season([sine().series[0].target]) == 40


def test_several_series_share_their_season() -> None:
    series = [np.sin(2 * np.pi * (STEPS[:90] + shift) / 12) + RNG.normal(0, 0.3, 90) for shift in range(5)]
    assert find_season(series) == 12


def test_the_sums_are_those_of_a_loop() -> None:
    values = RNG.normal(5, 2, 50)
    lags = np.arange(1, 30)
    expected = [((values[lag:] - values[:-lag]) ** 2).sum() for lag in lags]
    np.testing.assert_allclose(squared_differences(values, lags), expected, rtol=1e-9)
