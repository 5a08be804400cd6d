"""JSON values that a run stored, which an editor or a damaged disk may have changed, and dataclasses from them."""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

AnyDataclass = TypeVar("AnyDataclass")
NAN_IF_NULL: Mapping[str, float] = {"null": math.nan}  # metadata of a float field whose null in JSON stands for nan
_LARGEST = 2**53 + 1  # below it, a float holds every integer


def build_stored(kind: type[AnyDataclass], values: object) -> AnyDataclass:
    """A dataclass from a JSON object, with the dataclasses in its fields.

    Raises TypeError naming a field that is unknown, missing or not of the field's type.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{kind.__name__} is not an object")
    hints = get_type_hints(kind)
    built = {name: _build(hints.get(name), value) for name, value in values.items()}
    for field in fields(kind):  # type: ignore[arg-type]  # a dataclass
        is_required = field.default is MISSING and field.default_factory is MISSING
        if is_required and field.name not in built:
            raise TypeError(f"it has no {field.name}")
        if field.name not in built:
            continue
        if built[field.name] is None and "null" in field.metadata:
            built[field.name] = field.metadata["null"]
        elif not matches(built[field.name], hints[field.name]):
            raise TypeError(f"{field.name} is {values[field.name]!r}"[:80])
    return kind(**built)


def parse_object(text: str) -> dict[str, Any]:
    """A JSON object without repeated names and without numbers that are not finite. Raises ValueError."""
    parsed = json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
    if not isinstance(parsed, dict):
        raise ValueError("not an object")  # noqa: TRY004  # callers expect one type
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("repeated name")
    return names


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def matches(value: object, hint: Any) -> bool:
    """Whether a JSON value is of a type: a class, a union, or a tuple, list or mapping of such.

    >>> matches([1, 2.5], list[float]), matches(True, int), matches({"loss": None}, dict[str, float | None])
    (True, False, True)
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in {Union, UnionType}:
        return any(matches(value, one) for one in arguments)
    if hint in {int, float}:
        kinds = (int,) if hint is int else (int, float)
        largest = math.inf if isinstance(value, float) else _LARGEST
        return isinstance(value, kinds) and not isinstance(value, bool) and -largest < value < largest
    if origin in {list, tuple}:
        return isinstance(value, origin) and all(matches(item, arguments[0]) for item in value)
    if origin is not None:  # a mapping with text as keys
        return isinstance(value, Mapping) and all(matches(item, arguments[1]) for item in value.values())
    return isinstance(value, NoneType if hint is None else hint)


def _build(hint: Any, value: object) -> object:
    """A value, as the dataclass that its hint names, if it names one and there is a value."""
    kinds = [kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)]
    if is_dataclass(value):
        return value
    if get_origin(hint) in {list, tuple} and isinstance(value, list | tuple):  # JSON has lists only
        return get_origin(hint)(_build(kinds[0], item) if kinds else item for item in value)
    return build_stored(kinds[0], value) if kinds and value is not None else value  # type: ignore[arg-type]
