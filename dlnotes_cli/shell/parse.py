"""Texts that stand for values: durations, sizes, lists. Each parser raises ValueError with what it expected."""

import re

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def duration(text: str) -> float:
    """Seconds from `90s`, `5m`, `1h` or a bare number of seconds.

    >>> duration("90s"), duration("5m"), duration("1.5")
    (90.0, 300.0, 1.5)
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|m|min|h|)", text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a duration like 90s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2]]


def whole_numbers(text: str) -> tuple[int, ...]:
    """Whole numbers from a comma list.

    >>> whole_numbers("512,512")
    (512, 512)
    """
    try:
        return tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        raise ValueError(f"'{text}' is not a comma list of whole numbers like 512,512") from None


def words(text: str) -> tuple[str, ...]:
    """Words from a comma list, white space and empty parts dropped.

    >>> words("flip, crop:4")
    ('flip', 'crop:4')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def numbers(text: str) -> tuple[float, ...]:
    """Numbers from a comma list.

    >>> numbers("1e-3, 0.01")
    (0.001, 0.01)
    """
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError(f"'{text}' is not a comma list of numbers like 1e-3,1e-2") from None


def count_or_auto(text: str) -> int:
    """A whole number, 0 for the word `auto`.

    >>> count_or_auto("64"), count_or_auto("auto")
    (64, 0)
    """
    try:
        return 0 if text.strip() == "auto" else int(text)
    except ValueError:
        raise ValueError(f"'{text}' is neither a whole number nor auto") from None
