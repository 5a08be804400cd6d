"""Parsers of option values: durations, lists, counts. Each raises ValueError with what it expects."""

import re

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def duration(text: str) -> float:
    """Seconds from `90s`, `5m`, `1h` or a number of seconds.

    >>> duration("90s"), duration("5m"), duration("1.5")
    (90.0, 300.0, 1.5)
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|m|min|h|)", text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a duration like 90s, 5m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def integer(text: str) -> int:
    """An integer in decimal notation.

    >>> integer("12")
    12
    """
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"'{text}' is not an integer") from None


def number(text: str) -> float:
    """A number in decimal or scientific notation; nan and inf are left to the option's range.

    >>> number("1e-3")
    0.001
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a number") from None


def integers(text: str) -> tuple[int, ...]:
    """Integers separated by commas.

    >>> integers("512,512")
    (512, 512)
    """
    try:
        return tuple(int(item) for item in text.split(",")) if text.strip() else ()
    except ValueError:
        raise ValueError(f"'{text}' is not a comma-separated list of integers like 512,512") from None


def numbers(text: str) -> tuple[float, ...]:
    """Numbers separated by commas; empty items are dropped.

    >>> numbers("1e-3, 0.01")
    (0.001, 0.01)
    """
    try:
        return tuple(float(item) for item in text.split(",") if item.strip())
    except ValueError:
        raise ValueError(f"'{text}' is not a comma-separated list of numbers like 1e-3,1e-2") from None


def items(text: str) -> tuple[str, ...]:
    """Texts separated by commas; surrounding white space and empty items are dropped.

    >>> items("flip, crop:4")
    ('flip', 'crop:4')
    """
    return tuple(item.strip() for item in text.split(",") if item.strip())


def count_or_auto(text: str) -> int:
    """An integer, 0 for `auto`.

    >>> count_or_auto("64"), count_or_auto("auto")
    (64, 0)
    """
    try:
        return 0 if text.strip() == "auto" else int(text)
    except ValueError:
        raise ValueError(f"'{text}' is neither an integer nor auto") from None
