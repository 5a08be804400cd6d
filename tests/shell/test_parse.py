"""Parsers of option values, and the text that they refuse."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.shell.parse import count_or_auto, duration, integers, items, numbers


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (duration, "90", 90), (duration, "1.5", 1.5), (duration, ".5m", 30), (duration, "5min", 300),
        (duration, "2h", 7200), (duration, " 3 s ", 3), (duration, "2.h", 7200), (duration, "0", 0),
        (items, " flip , crop:4,,", ("flip", "crop:4")), (items, "", ()), (numbers, "1,", (1.0,)),
        (integers, " ", ()),
    ],
)  # fmt: skip
def test_what_is_read(parse: Any, text: str, value: object) -> None:
    assert parse(text) == value


@given(numbers=st.lists(st.integers(-(10**9), 10**9)))
def test_a_list_of_integers_is_read(numbers: list[int]) -> None:
    assert integers(" , ".join(map(str, numbers))) == tuple(numbers)


@pytest.mark.parametrize(
    ("parse", "texts", "message"),
    [
        (duration, ["", "s", "5 d", "-5s", "1e3", "nan", "5m30s", "5,5", "."], "not a duration like 90s, 5m or 1h"),
        (integers, ["5,", ",5", "5;5", "5.0", "x", "5,,5", "1" * 5000], "comma-separated list of integers like 512,"),
        (numbers, ["1;2", "x"], "not a comma-separated list of numbers like 1e-3,1e-2"),
        (count_or_auto, ["x", ""], "is neither an integer nor auto"),
    ],
)
def test_text_that_is_refused_with_an_example(parse: Any, texts: list[str], message: str) -> None:
    for text in texts:
        with pytest.raises(ValueError, match=message):
            parse(text)
