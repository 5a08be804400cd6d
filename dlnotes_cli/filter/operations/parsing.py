"""Parsing of `--op`: the name of an operation and its numbers, as in `median:5` or `canny:40:120`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.option import Range

RANKS = ("median", "erode", "dilate", "open", "close")
_WINDOW = "an odd number of rows and columns"


class _Number(NamedTuple):
    """A number of an operation: what it is, its range and its default."""

    what: str
    within: Range
    default: float


_NUMBERS = {name: (_Number(_WINDOW, Range("[3, 99]"), 3),) for name in RANKS} | {
    "bilateral": (
        _Number("standard deviation of the distance in pixels", Range("(0, 20]"), 2),
        _Number("standard deviation of the difference in brightness", Range("(0, 1000]"), 30),
    ),
    "canny": (
        _Number("lower threshold of the gradient's magnitude", Range("[0, 10000]"), 50),
        _Number("upper threshold of the gradient's magnitude", Range("[0, 10000]"), 100),
        _Number("standard deviation of the blur in pixels", Range("(0, 20]"), 1.4),
    ),
}
OPERATIONS = tuple(_NUMBERS)


@dataclass(frozen=True)
class FilterOperation:
    """An operation of OPERATIONS and its numbers; brightness is in units of a white of 255."""

    name: str
    numbers: tuple[float, ...]
    text: str  # as the user wrote it

    @property
    def label(self) -> str:
        """The name in names of files, such as `median-5`."""
        return self.text.replace(":", "-")

    @property
    def side(self) -> int:
        """Rows and columns of the window of a rank operation."""
        return int(self.numbers[0])


def parse_operations(texts: tuple[str, ...]) -> tuple[FilterOperation, ...]:
    """The operations in order. Raises InputError for an unknown name and for wrong numbers.

    >>> parse_operations(("median:5", "canny"))[1].numbers
    (50.0, 100.0, 1.4)
    """
    return tuple(map(_parse_operation, texts))


def _parse_operation(text: str) -> FilterOperation:
    name, *values = text.strip().lower().split(":")
    if name not in _NUMBERS:
        raise unknown_choice("--op", name, OPERATIONS, "operation")
    expected = _NUMBERS[name]
    if len(values) > len(expected):
        most = "one number" if len(expected) == 1 else f"at most {len(expected)} numbers"
        raise InputError("--op", f"{name} has {most}, got {len(values)}", f"write {_example(name)}")
    numbers = tuple(_parse_numbers(name, values))
    if name in RANKS and numbers[0] % 2 != 1:
        raise InputError("--op", f"{name}:{values[0]} is not {_WINDOW}", f"write {_example(name)}")
    if name == "canny" and numbers[0] > numbers[1]:
        what = f"the lower threshold {numbers[0]:g} of canny is above the upper one, {numbers[1]:g}"
        raise InputError("--op", what, f"write {_example(name)}")
    return FilterOperation(name, numbers, text.strip().lower())


def _parse_numbers(name: str, values: list[str]) -> Iterator[float]:
    """The numbers of an operation; those that are not given have their defaults."""
    for i, number in enumerate(_NUMBERS[name]):
        text = values[i] if i < len(values) else str(number.default)
        try:
            value = float(text)
        except ValueError:
            raise InputError("--op", f"{name}: {text!r} is not a number", f"write {_example(name)}") from None
        if value not in number.within:
            what = f"{name}: {text} is out of range: {number.what} is {number.within}"
            raise InputError("--op", what, f"write {_example(name)}")
        yield value


def _example(name: str) -> str:
    return ":".join([name, *(f"{number.default:g}" for number in _NUMBERS[name])])
