"""Parsers of option values, and the text that they refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.shell.parse import duration, integers, items


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("90s", 90), ("1.5", 1.5), (".5m", 30), ("5m", 300), ("5min", 300), ("2h", 7200), (" 3 s ", 3),
        ("2.h", 7200), ("0", 0),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5 d", "-5s", "1e3", "nan", "inf", "5m30s", "5,5", "."])
def test_text_that_is_not_a_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration like 90s, 5m or 1h"):
        duration(text)


@given(numbers=st.lists(st.integers(-(10**9), 10**9)))
def test_a_list_of_integers_is_read(numbers: list[int]) -> None:
    assert integers(",".join(map(str, numbers))) == tuple(numbers)
    assert integers(" , ".join(map(str, numbers))) == tuple(numbers)


@pytest.mark.parametrize("text", ["5,", ",5", "5;5", "5.0", "x", "5,,5", "1" * 5000])
def test_a_list_with_anything_but_integers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a comma-separated list of integers like 512,512"):
        integers(text)


def test_items_lose_white_space_and_empty_items_are_dropped() -> None:
    assert items(" flip , crop:4,,") == ("flip", "crop:4")
    assert items("") == ()
