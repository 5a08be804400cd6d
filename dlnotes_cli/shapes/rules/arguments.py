"""The arguments of a layer: bound to PyTorch's own signature, and read with the types that PyTorch accepts."""

import ast
import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from dlnotes_cli.shapes.layer import INT64, Layer, RefusedError, Shape


class Parameter(NamedTuple):
    """One parameter of a signature; `default` is None too where `is_required`."""

    name: str
    default: Any
    is_required: bool
    by_name_only: bool


class Arguments:
    """The values of one call, defaults filled in; every reader refuses what PyTorch would refuse."""

    def __init__(self, values: Mapping[str, Any], given: Iterable[str] = ()) -> None:
        self._values = dict(values)
        self.given = frozenset(given)  # the names that the call wrote out

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> Any:
        """The value of an argument that not every signature has, else None."""
        return self._values.get(name)

    def extended(self, more: Mapping[str, Any]) -> "Arguments":
        """The same call with values added or replaced."""
        return Arguments({**self._values, **more}, self.given)

    def whole(self, name: str, least: int = -INT64) -> int:
        """A whole number, no bool, of at least `least`."""
        return _whole(name, self[name], least)

    def sizes(self, name: str, rank: int, least: int = -INT64, *, single: bool = True) -> Shape:
        """One whole number for each of `rank` axes; `single` allows a tuple of one for all of them."""
        value = self[name]
        items = tuple(value) if isinstance(value, tuple | list) else (value,) * rank
        if len(items) == 1 and single:
            items *= rank
        if len(items) != rank:
            raise RefusedError(f"{name}={value!r} has {len(items)} numbers for {rank} axes", f"give one, or {rank}")
        return tuple(_whole(name, item, least) for item in items)

    def number(self, name: str) -> float:
        """A number, whole or not."""
        value = self[name]
        if not isinstance(value, int | float):
            raise RefusedError(f"{name}={value!r} is not a number")
        return value

    def optional_number(self, name: str) -> float | None:
        """A number or None."""
        return None if self[name] is None else self.number(name)

    def flag(self, name: str) -> bool:
        """True or False and nothing else."""
        value = self[name]
        if not isinstance(value, bool):
            raise RefusedError(f"{name}={value!r} is not True or False")
        return value

    def word(self, name: str, choices: tuple[str, ...]) -> str:
        """One of a closed set of words."""
        value = self[name]
        if value not in choices:
            raise RefusedError(f"{name}={value!r} is unknown", f"choose from {', '.join(choices)}")
        return str(value)


def bind(layer: Layer, signature: str) -> Arguments:
    """Match a call to a signature in Python's notation, as Python itself would.

    >>> bind(Layer("Conv2d", (3,), (("kernel_size", 5),)), "in_channels, kernel_size, stride=1")["stride"]
    1
    """
    parameters = _parameters(signature)
    if parameters is None:
        return Arguments({})
    by_position = [parameter.name for parameter in parameters if not parameter.by_name_only]
    if len(layer.positional) > len(by_position):
        raise RefusedError(f"{len(layer.positional)} arguments by position, at most {len(by_position)} are taken")
    named = dict(zip(by_position, layer.positional, strict=False))
    known = [parameter.name for parameter in parameters]
    for name, value in layer.keywords:
        if name in named:
            raise RefusedError(f"{name} is given twice", "give it once")
        if name not in known:
            raise RefusedError(f"no argument '{name}'", _nearest(name, known))
        named[name] = value
    missing = [parameter.name for parameter in parameters if parameter.is_required and parameter.name not in named]
    if missing:
        raise RefusedError(f"{missing[0]} is missing", f"the arguments are {', '.join(known) or 'none'}")
    return Arguments({**{p.name: p.default for p in parameters}, **named}, (name for name, _ in layer.keywords))


@cache
def _parameters(signature: str) -> tuple[Parameter, ...] | None:
    """Read a signature; None for `*`, which takes anything."""
    if signature == "*":
        return None
    found = []
    by_name_only = False
    for part in filter(None, signature.split(", ")):
        name, equals, default = part.partition("=")
        if name == "*":
            by_name_only = True
        else:
            found.append(Parameter(name, ast.literal_eval(default) if equals else None, not equals, by_name_only))
    return tuple(found)


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"the arguments are {', '.join(known) or 'none'}"


def _whole(name: str, value: Any, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise RefusedError(f"{name}={value!r} is not a whole number")
    if abs(value) > INT64:
        raise RefusedError(f"{name} does not fit in 64 bits", "use a smaller number")
    if value < least:
        raise RefusedError(f"{name}={value} is below {least}", f"use {least} or more")
    return value
