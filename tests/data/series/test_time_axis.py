"""The times of rows: steps, calendar months, time zones."""

import numpy as np
import pytest

from dlnotes_cli.data.series.time_axis import (
    TimeAxis,
    calendar_features,
    cycles_of,
    infer_axis,
    is_on_axis,
    parse_times,
    rows_between,
)
from dlnotes_cli.shell.errors import InputError


def axis_of(cells: list[str]) -> TimeAxis:
    times = parse_times("f.csv", "t", cells, range(2, len(cells) + 2))
    return infer_axis(times, [np.arange(len(cells))])


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
    rows = np.arange(len(cells), len(cells) + len(following))
    assert axis_of(cells).labels(rows) == following


def test_gaps_are_whole_numbers_of_steps() -> None:
    cells = ["2024-01-31", "2024-02-29", "2024-03-31", "2024-05-31"]
    times = parse_times("f.csv", "t", cells, range(2, 6))
    steps = rows_between(infer_axis(times, [np.arange(4)]), times.values)
    assert is_on_axis(steps).all()
    assert steps.round().tolist() == [1, 1, 2]


def test_a_time_between_two_steps_is_off_the_axis() -> None:
    axis = TimeAxis("dates", 0.0, 3600.0)
    assert is_on_axis(rows_between(axis, np.array([0.0, 3600.0, 5400.0]))).tolist() == [True, False]


@pytest.mark.parametrize("cells", [["2024-01-01", "soon"], ["1", "x"], ["2024-01-01", ""], ["31/12/2024", "1/1/2025"]])
def test_other_cells_are_refused_with_their_line(cells: list[str]) -> None:
    with pytest.raises(InputError, match=r"f\.csv: line [23]: column 't'.*; fix the cell"):
        axis_of(cells)


def test_axes_start_where_they_are_shifted_to() -> None:
    for axis in (
        TimeAxis("dates", 0.0, 3600.0),
        TimeAxis("dates", 0.0, 86400.0, 1, None, 31),
        TimeAxis("numbers", 2.5, 0.5),
    ):
        shifted = axis.shifted(13)
        assert axis.row_of(shifted) == 13
        assert shifted.labels(np.arange(3)) == axis.labels(np.arange(13, 16))


def test_calendar_features_repeat_after_a_cycle() -> None:
    hours = np.arange(0, 24 * 14 * 3600, 3600).astype(np.float64)
    features = calendar_features(hours, ("day", "week"))
    assert features.shape == (len(hours), 12)
    np.testing.assert_allclose(features[:, :6], np.roll(features[:, :6], 24, axis=0), atol=1e-12)
    np.testing.assert_allclose(features[: 24 * 7], features[24 * 7 :], atol=1e-12)
    np.testing.assert_allclose(features[:, 0], np.sin(2 * np.pi * np.arange(len(hours)) / 24), atol=1e-12)


@pytest.mark.parametrize(
    ("step_s", "rows", "cycles"),
    [
        (3600, 200, ("day", "week")),
        (86400, 400, ("week", "year")),
        (60, 100, ()),
        (86400 * 7, 60, ("year",)),
        (3600, 9000, ("day", "week", "year")),
    ],
)
def test_a_cycle_is_used_if_the_rows_show_it(step_s: float, rows: int, cycles: tuple[str, ...]) -> None:
    assert cycles_of(step_s, rows) == cycles
