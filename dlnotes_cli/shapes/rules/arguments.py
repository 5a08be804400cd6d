"""The arguments of a layer: bound to PyTorch's signature, and read with the types that PyTorch accepts."""

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from dlnotes_cli.shapes.layer import INT64, InvalidLayerError, Layer, Shape
from dlnotes_cli.shell.errors import nearest


class Parameter(NamedTuple):
    """One parameter of a signature; `default` is None if `is_required`."""

    name: str
    default: Any
    is_required: bool
    is_keyword_only: bool


class Arguments:
    """The arguments of one call, defaults included; reading one raises InvalidLayerError where PyTorch rejects it."""

    def __init__(self, values: Mapping[str, Any], keywords: Iterable[str] = ()) -> None:
        self._values = dict(values)
        self.keywords = frozenset(keywords)  # the names that the call passes by keyword

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> Any:
        """The value of an argument that not every signature has, else None."""
        return self._values.get(name)

    def updated(self, values: Mapping[str, Any]) -> "Arguments":
        """A copy with values added or replaced."""
        return Arguments({**self._values, **values}, self.keywords)

    def integer(self, name: str, minimum: int = -INT64) -> int:
        """An integer of at least `minimum`; bool is not accepted."""
        return _integer(name, self[name], minimum)

    def sizes(self, name: str, rank: int, minimum: int = -INT64, *, expand_single: bool = True) -> Shape:
        """One integer for each of `rank` axes; `expand_single` allows a tuple of one for all of them."""
        value = self[name]
        items = tuple(value) if isinstance(value, tuple | list) else (value,) * rank
        if len(items) == 1 and expand_single:
            items *= rank
        if len(items) != rank:
            what = f"{name}={value!r} has {len(items)} numbers for {rank} axes"
            raise InvalidLayerError(what, f"use one number, or {rank}")
        return tuple(_integer(name, item, minimum) for item in items)

    def number(self, name: str) -> float:
        """An int or float."""
        value = self[name]
        if not isinstance(value, int | float):
            raise InvalidLayerError(f"{name}={value!r} is not a number")
        return value

    def optional_number(self, name: str) -> float | None:
        """An int, float or None."""
        return None if self[name] is None else self.number(name)

    def boolean(self, name: str) -> bool:
        """True or False; other values are not accepted."""
        value = self[name]
        if not isinstance(value, bool):
            raise InvalidLayerError(f"{name}={value!r} is not True or False")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of a closed set of strings."""
        value = self[name]
        if value not in choices:
            raise InvalidLayerError(f"{name}={value!r} is unknown", f"choose from {', '.join(choices)}")
        return str(value)


def bind(layer: Layer, signature: str) -> Arguments:
    """Match a call to a signature as Python does; raises InvalidLayerError where Python raises TypeError.

    >>> bind(Layer("Conv2d", (3,), (("kernel_size", 5),)), "in_channels, kernel_size, stride=1")["stride"]
    1
    """
    parameters = _parameters(signature)
    if parameters is None:
        return Arguments({})
    positional = [parameter.name for parameter in parameters if not parameter.is_keyword_only]
    if len(layer.positional) > len(positional):
        what = f"{len(layer.positional)} positional arguments, at most {len(positional)} are allowed"
        raise InvalidLayerError(what, "pass the others by name")
    values = dict(zip(positional, layer.positional, strict=False))
    known = [parameter.name for parameter in parameters]
    for name, value in layer.keywords:
        if name in values:
            raise InvalidLayerError(f"{name} is passed twice", "pass it once")
        if name not in known:
            raise InvalidLayerError(f"no argument '{name}'", _nearest(name, known))
        values[name] = value
    missing = [parameter.name for parameter in parameters if parameter.is_required and parameter.name not in values]
    if missing:
        raise InvalidLayerError(f"{missing[0]} is missing", f"the arguments are {', '.join(known) or 'none'}")
    return Arguments({**{p.name: p.default for p in parameters}, **values}, (name for name, _ in layer.keywords))


@cache
def _parameters(signature: str) -> tuple[Parameter, ...] | None:
    """The parameters of a signature; None for `*`, which accepts any arguments."""
    if signature == "*":
        return None
    parameters = []
    is_keyword_only = False
    for text in filter(None, signature.split(", ")):
        name, equals, default = text.partition("=")
        if name == "*":
            is_keyword_only = True
        else:
            value = ast.literal_eval(default) if equals else None
            parameters.append(Parameter(name, value, not equals, is_keyword_only))
    return tuple(parameters)


def _nearest(name: str, known: list[str]) -> str:
    near = nearest(name, known)
    return f"did you mean '{near}'?" if near else f"the arguments are {', '.join(known) or 'none'}"


def _integer(name: str, value: Any, minimum: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidLayerError(f"{name}={value!r} is not an integer")
    if abs(value) > INT64:
        raise InvalidLayerError(f"{name} does not fit in 64 bits", "use a smaller number")
    if value < minimum:
        raise InvalidLayerError(f"{name}={value} is below {minimum}", f"use {minimum} or more")
    return value
