"""The times of rows: steps, calendar months, time zones; the season that autocorrelation finds."""

import numpy as np
import pytest

from dlnotes_cli.data.series.season import find_season
from dlnotes_cli.data.series.series_set import sine, trend_season
from dlnotes_cli.data.series.time_axis import (
    TimeAxis,
    calendar_features,
    cycles_of,
    infer_axis,
    is_on_axis,
    parse_times,
    rows_between,
)

RNG = np.random.default_rng(0)
STEPS = np.arange(600)


@pytest.mark.parametrize(
    ("cells", "following"),
    [
        (["2024-02-27", "2024-02-28"], ["2024-02-29", "2024-03-01"]),
        (["2024-01-01T22:00", "2024-01-01T23:00"], ["2024-01-02T00:00:00", "2024-01-02T01:00:00"]),
        (["2023-11-01", "2023-12-01"], ["2024-01-01", "2024-02-01"]),
        (["2023-12-31", "2024-01-31", "2024-02-29"], ["2024-03-31", "2024-04-30"]),
        (["2023-01-01", "2023-04-01", "2023-07-01"], ["2023-10-01", "2024-01-01"]),
        (["2023-01-01", "2024-01-01"], ["2025-01-01", "2026-01-01"]),
        (["2024-01-01T00:00+02:00", "2024-01-01T06:00+02:00"], ["2024-01-01T12:00:00+02:00"]),
        (["0.5", "0.75", "1.0"], ["1.25", "1.5"]),
        (["1700000000", "1700003600"], ["1700007200"]),
    ],
)
def test_the_times_that_follow(cells: list[str], following: list[str]) -> None:
    times = parse_times("f.csv", "t", cells, range(2, len(cells) + 2))
    axis = infer_axis(times, [np.arange(len(cells))])
    rows = np.arange(len(cells), len(cells) + len(following))
    assert axis.labels(rows) == following
    assert rows_between(axis, times.values).round(2).tolist() == [1] * (len(cells) - 1)
    shifted = axis.shifted(13)
    assert (axis.row_of(shifted), shifted.labels(rows)) == (13, axis.labels(rows + 13))


def test_gaps_are_whole_numbers_of_steps() -> None:
    times = parse_times("f.csv", "t", ["2024-01-31", "2024-02-29", "2024-03-31", "2024-05-31"], range(2, 6))
    steps = rows_between(infer_axis(times, [np.arange(4)]), times.values)
    assert is_on_axis(steps).all()
    assert steps.round().tolist() == [1, 1, 2]
    hourly = rows_between(TimeAxis("dates", 0.0, 3600.0), np.array([0.0, 3600.0, 5400.0]))
    assert is_on_axis(hourly).tolist() == [True, False]


def test_calendar_features_repeat_after_a_cycle() -> None:
    features = calendar_features(np.arange(0, 24 * 14 * 3600, 3600).astype(np.float64), ("day", "week"))
    assert features.shape == (24 * 14, 12)
    np.testing.assert_allclose(features[:, :6], np.roll(features[:, :6], 24, axis=0), atol=1e-12)
    np.testing.assert_allclose(features[: 24 * 7], features[24 * 7 :], atol=1e-12)
    np.testing.assert_allclose(features[:, 0], np.sin(2 * np.pi * np.arange(len(features)) / 24), atol=1e-12)
    shown = {(3600, 200): ("day", "week"), (86400, 400): ("week", "year"), (60, 100): (), (86400 * 7, 60): ("year",)}
    assert {case: cycles_of(*case) for case in shown} == shown


@pytest.mark.parametrize("season", [2, 7, 12, 24])
@pytest.mark.parametrize("trend", [0.0, 0.05])
def test_a_season_is_found_despite_trend_and_noise(season: int, trend: float) -> None:
    shape = np.random.default_rng(season).normal(size=season)
    values = shape[STEPS % season] + trend * STEPS + RNG.normal(0, 0.1, len(STEPS))
    assert find_season([values]) == season


@pytest.mark.parametrize(
    ("series", "season"),
    [
        *(([values], 1) for values in (RNG.normal(size=500), RNG.normal(size=2000).cumsum(), np.ones(100),
                                       np.arange(100.0), np.array([1.0, 2.0]), np.array([]))),
        ([trend_season().series[0].target], 168),  # the week explains more than the day
        ([sine().series[0].target], 40),
        ([np.sin(2 * np.pi * (STEPS[:90] + shift) / 12) + RNG.normal(0, 0.3, 90) for shift in range(5)], 12),
    ],
)  # fmt: skip
def test_seasons_of_known_series(series: list[np.ndarray], season: int) -> None:
    assert find_season(series) == season
