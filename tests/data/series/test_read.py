"""Time series from tables: order, gaps, missing values, groups, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dlnotes_cli.data.series.read import SeriesColumns, read_series
from dlnotes_cli.data.series.series_set import SeriesSet
from dlnotes_cli.shell.errors import InputError

Read = Callable[..., SeriesSet]
DAYS = [f"2024-01-{day:02d}" for day in range(1, 32)]
HOURS = [f"2024-02-{1 + hour // 24:02d}T{hour % 24:02d}:00" for hour in range(48)]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def run(rows: list[str], header: str = "t,y", **columns: object) -> SeriesSet:
        path = tmp_path / "f.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return read_series(str(path), SeriesColumns(**{"target": "y", "time": "t", **columns}))  # type: ignore[arg-type]

    return run


def rows(*values: object, times: list[str] = DAYS) -> list[str]:
    return [f"{time},{value}" for time, value in zip(times, values, strict=False)]


def test_values_and_times_are_read(read: Read) -> None:
    for time, labels in (("t", DAYS[:4]), (None, ["1", "2", "3", "4"])):
        (series,) = read(rows(1, 2.5, -3), time=time).series
        assert series.target.tolist() == [1, 2.5, -3]
        assert series.axis.labels(np.arange(4)) == labels


@pytest.mark.parametrize(
    ("fill", "expected"),
    [("linear", [1, 2, 3, 4, 5, 6]), ("forward", [1, 1, 3, 3, 3, 6]), ("skip", [1, None, 3, None, None, 6])],
)
def test_missing_values_and_gaps_are_filled(read: Read, fill: str, expected: list[float | None]) -> None:
    table = rows(1, "NaN", 3, 4, "", 6)
    del table[3]  # a gap
    data = read(table, fill=fill)
    np.testing.assert_array_equal(data.series[0].target, [np.nan if one is None else one for one in expected])
    assert (data.filled, data.skipped) == ((0, 3) if fill == "skip" else (3, 0))


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        (rows(1, "", 3, "na", 5), {}, r"2 missing values in column 'y', in lines 3, 5; fill the cells, or pass --fill"),
        (rows(*["", 1] * 4), {}, r"4 missing values in column 'y', first in lines 2, 4, 6"),
        ([rows(1, 2, 3, 4, 5)[i] for i in (0, 1, 2, 4)], {}, r"1 gap in column 't', after line 4; insert the rows"),
        ([*rows(1, 2, 3), *rows(1, 2, 3)[2:]], {}, r"1 repeated time in column 't', first in lines 4 and 5; drop"),
        (rows(1, 2, 3)[::-1], {}, r"line 3: the time 2024-01-02 is before that of line 2; sort the rows, or pass"),
        *(([*rows(1, 2, 3), f"2024-01-03T{time},4", *rows(*range(5))[3:]], {"fill": "linear"},
           r"line 5: the time .* is not a whole number of steps of 1 d") for time in ("12:00", "00:30")),
        (rows(*range(79), times=DAYS + HOURS), {"fill": "linear"},
         r"the rows from line 2 to line 33 are 24 steps of 1 h apart, others one step; resample the rows"),
        (rows(*range(40), times=DAYS + HOURS[:9]), {}, r"line 34: the time .* not a whole number of steps of 1 d"),
        ([*rows(1, 2, 3), "3000-01-01,4"], {}, r"line 5: 356,\d+ rows are missing before its time; check the time"),
        *((rows(1, cell, 3), {}, f"line 3: column 'y': '{cell}' is not a number; fix") for cell in ("x", "inf")),
        (rows(1, "1e308", 3), {}, r"line 3: column 'y': '1e308' is too large; fix"),
        (rows("", "", ""), {}, r"column 'y' has no value; name another --column"),
        (rows(1, 2), {"target": "z"}, r"--column: unknown column 'z'; choose from t, y"),
        (rows(1, 2), {"group": "y"}, r"--group: column 'y' is also that of --column"),
        (rows("", 2, 3), {"fill": "forward"}, r"the first value is missing; fill the cell, or pass --fill linear"),
        *((rows(1, 2, times=["2024-01-01", cell]), {}, r"line 3: column 't'.*; fix the cell") for cell in ("soon", "")),
        (rows(1, 2, times=["31/12/2024", "1/1/2025"]), {}, r"line 2: column 't': .* is not a date like"),
        (rows(1, 2, times=["2024-01-01T00:00", "2024-01-01T01:00Z"]), {}, r"line 2: .* date without a time zone"),
    ],
)  # fmt: skip
def test_faults_are_named_with_their_lines(read: Read, table: list[str], columns: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(table, **columns)


def test_each_group_is_sorted_on_request_and_starts_at_its_own_time(read: Read) -> None:
    table = ["2024-01-02,b,20", "2024-01-02,a,2", "2024-01-01,a,1", "2024-01-03,b,30"]
    data = read(table, "t,g,y", group="g", is_sorted=True)
    assert {series.name: series.target.tolist() for series in data.series} == {"b": [20, 30], "a": [1, 2]}
    assert [series.axis.labels(np.arange(1)) for series in data.series] == [["2024-01-02"], ["2024-01-01"]]


def test_rows_without_a_target_at_the_end_are_the_future(read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    data = read([f"{row},{i}" for i, row in enumerate(rows(1, 2, "", ""))], "t,y,x", known=("x",))
    assert (data.series[0].rows, data.series[0].values[2:, 1].tolist()) == (2, [2, 3])
    assert "2 rows at the end without 'y' are taken as the future" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"1 missing value in column 'x', in line 5"):  # known in the future, too
        read([f"{row},{x}" for row, x in zip(rows(1, 2, "", ""), [1, 2, 3, ""], strict=True)], "t,y,x", known=("x",))
