"""JSON of dataclasses: one way to write them, one strict way to read them, and their JSON Schema.

A dataclass is an object of its fields, and of the properties marked with `in_json`. Metadata of a field changes its
place: `field(metadata=named("bytes"))`, `field(metadata=HIDDEN)`, and `field(metadata=INLINE)` for a dataclass whose
members stand beside the other fields; those of a property marked with `inlined` do, too. `field(metadata=through(f))`
has the value that f makes of the field's.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache, cached_property
from os import PathLike, fspath
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.output import readable

AnyType = TypeVar("AnyType")
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
HIDDEN: Mapping[str, Any] = {"json": None}  # metadata of a field that JSON leaves out
_BESIDE = "*"  # the name of members that stand beside the other fields
INLINE: Mapping[str, Any] = {"json": _BESIDE}  # metadata of a dataclass whose members stand beside the other fields
OPTIONAL: Mapping[str, Any] = {"optional": True}  # metadata of a field that is left out where it is None
NAN_IF_NULL: Mapping[str, Any] = {"null": True}  # metadata of a float that is null in JSON where it is nan
_LARGEST = 2**53 + 1  # below it, a float holds every integer
_LONGEST = 80  # characters of an error about a value


def named(name: str) -> dict[str, Any]:
    """Metadata of a field that has another name in JSON."""
    return {"json": name}


def through(function: Callable[[Any], Any]) -> dict[str, Any]:
    """Metadata of a field that JSON has as `function` makes it, unless it is None."""
    return {"through": function}


def in_json_as(name: str, *, optional: bool = False) -> Callable[[AnyFunction], AnyFunction]:
    """Mark the function of a property whose value JSON has under a name; if `optional`, unless it is None.

    Reading JSON leaves it out.
    """

    def mark(function: AnyFunction) -> AnyFunction:
        function.in_json, function.is_optional = name, optional  # type: ignore[attr-defined]  # read by `_members`
        return function

    return mark


in_json = in_json_as("")  # under the name of the property
inlined = in_json_as(_BESIDE)  # the property returns a dataclass, whose members stand beside the other fields


def to_json(value: Any) -> Any:  # noqa: PLR0911  # a case for each kind of value
    """A value as JSON has it: dataclasses and named tuples are objects, paths text, nan and infinity null.

    >>> to_json({"path": Path("a"), "loss": math.nan, "sizes": (1, 2)})
    {'path': 'a', 'loss': None, 'sizes': [1, 2]}
    """
    if isinstance(value, str | PathLike):
        return readable(fspath(value))
    if _is_object(type(value)):
        return dict(_written(value))
    if isinstance(value, Mapping):
        return {readable(str(key)): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "tolist"):  # NumPy's and PyTorch's arrays and numbers
        return to_json(value.tolist())
    if hasattr(value, "denominator") and not isinstance(value, int):  # a fraction
        return float(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_object(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")


class _Member(NamedTuple):
    """A member of an object: a field of its dataclass or named tuple, or a property that is marked."""

    attribute: str
    name: str  # in JSON
    is_optional: bool
    through: Callable[[Any], Any] | None = None
    getter: Callable[[Any], Any] | None = None  # of a property


@cache
def _members(kind: Any) -> list[_Member]:
    """The members of objects of a type in JSON; properties come last, those of bases first."""
    is_tuple = hasattr(kind, "_fields")
    fields: dict[str, Mapping[str, Any]]
    fields = {name: {} for name in kind._fields} if is_tuple else {f.name: f.metadata for f in dataclasses.fields(kind)}
    members = [
        _Member(field, described.get("json", field), "optional" in described, described.get("through"))
        for field, described in fields.items()
    ]
    for name, value in {name: value for base in reversed(kind.__mro__) for name, value in vars(base).items()}.items():
        getter: Any = value.func if isinstance(value, cached_property) else getattr(value, "fget", None)
        if hasattr(getter, "in_json"):
            members.append(_Member(name, getter.in_json or name, getter.is_optional, getter=getter))
    return [member for member in members if member.name is not None]


def _written(value: Any) -> Iterator[tuple[str, Any]]:
    for member in _members(cast("Hashable", type(value))):
        item = getattr(value, member.attribute)
        if member.through is not None and item is not None:
            item = member.through(item)
        if member.name == _BESIDE:
            yield from to_json(item).items()
        elif item is not None or not member.is_optional:
            yield member.name, to_json(item)


def from_json(kind: type[AnyType], value: object, where: object, fix: str = "restore it") -> AnyType:
    """Rebuild a value of a type from JSON that was read from `where`, as `to_json` writes it.

    Raises InputError naming the field that is unknown, missing or of another type.
    """
    try:
        return build(kind, value)
    except TypeError as error:
        raise InputError(where, f"is damaged ({error})", fix) from error


def build(kind: type[AnyType], value: object) -> AnyType:
    """As `from_json`. Raises TypeError naming the field that is unknown, missing or of another type."""
    return cast("AnyType", _built(kind, value, getattr(kind, "__name__", "the value")))


def _built(hint: Any, value: object, name: str) -> Any:  # noqa: PLR0911  # as above
    """A JSON value as its type has it, with the name of its field for errors."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or (dataclasses.is_dataclass(hint) and isinstance(value, cast("type", hint))):
        return value
    if dataclasses.is_dataclass(hint):
        return _built_object(cast("type", hint), value)
    if origin in {Union, UnionType}:
        return _built_union(arguments, value, name)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if origin in {list, tuple} and isinstance(value, list | tuple):
        return origin(_built(arguments[0], item, name) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {key: _built(arguments[1], item, name) for key, item in value.items()}
    if not _is_scalar(value, hint):
        raise TypeError(f"{name} is {value!r}"[:_LONGEST])
    return value


def _built_union(hints: tuple[Any, ...], value: object, name: str) -> Any:
    failure: TypeError | None = None
    for hint in sorted(hints, key=dataclasses.is_dataclass):  # the error of a dataclass says more
        try:
            return _built(hint, value, name)
        except TypeError as error:
            failure = error
    raise failure or TypeError(name)


def _built_object(kind: Any, value: object) -> Any:
    if not isinstance(value, Mapping):
        raise TypeError(f"{kind.__name__} is not an object")  # as every error of reading
    hints, rest, built = get_type_hints(kind), dict(value), {}
    for field in dataclasses.fields(kind):
        name = field.metadata.get("json", field.name)
        if name == _BESIDE:
            inner = {member.name for member in _members(hints[field.name])}
            built[field.name] = _built_object(hints[field.name], {key: rest.pop(key) for key in inner & rest.keys()})
        elif name in rest:
            item = rest.pop(name)
            is_nan = item is None and "null" in field.metadata
            built[field.name] = math.nan if is_nan else _built(hints[field.name], item, name)
        elif field.metadata.get("optional"):
            built[field.name] = None
        elif name is not None and field.default is field.default_factory is dataclasses.MISSING:
            raise TypeError(f"it has no {name}")
    unknown = rest.keys() - {member.name for member in _members(kind) if member.getter}
    if unknown:
        raise TypeError(f"{kind.__name__} has no {min(map(str, unknown))}"[:_LONGEST])
    return kind(**built)


def _is_scalar(value: object, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint in {int, float}:
        largest = math.inf if isinstance(value, float) else _LARGEST
        is_number = isinstance(value, int | hint) and not isinstance(value, bool)
        return is_number and -largest < cast("float", value) < largest
    kind = NoneType if hint is None else hint
    return isinstance(kind, type) and isinstance(value, kind)


def schema_of(hint: Any) -> dict[str, Any]:  # noqa: PLR0911  # a case for each kind of type
    """The JSON Schema of a type, as `to_json` writes it; nan and infinity make any float null."""
    origin, arguments = get_origin(hint), get_args(hint)
    if _is_object(hint):
        return _schema_of_object(hint)
    if origin in {Union, UnionType}:
        return {"anyOf": [schema_of(one) for one in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple and ... not in arguments:
        size = len(arguments)
        return {"type": "array", "prefixItems": [*map(schema_of, arguments)], "minItems": size, "maxItems": size}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return {"type": "array", "items": schema_of(arguments[0])}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    return {"type": _SCHEMA_TYPES[hint]} if hint in _SCHEMA_TYPES else {}


_SCHEMA_TYPES: Mapping[Any, Any] = {
    bool: "boolean", int: "integer", float: ["number", "null"], str: "string", Path: "string", NoneType: "null",
    None: "null",
}  # fmt: skip


def _schema_of_object(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    properties: dict[str, Any] = {}
    required = []
    for member in _members(kind):
        hint = get_type_hints(member.getter).get("return", Any) if member.getter else hints[member.attribute]
        schema = schema_of(Any if member.through else hint)
        if member.name == _BESIDE:
            properties |= schema["properties"]
            required += schema["required"]
        else:
            properties[member.name] = schema
            required += [] if member.is_optional else [member.name]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def flattened(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The scalars of nested JSON objects, and lists of scalars, by dotted names.

    >>> dict(flattened({"test": {"loss": 0.5}, "plots": ["a"], "models": [{}]}))
    {'test.loss': 0.5, 'plots': ['a']}
    """
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        elif not isinstance(value, list) or not any(isinstance(item, dict | list) for item in value):
            yield f"{prefix}{name}", value


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
