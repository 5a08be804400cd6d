"""JSON of dataclasses: one way to write them, one strict way to read them, and their JSON Schema.

A dataclass is an object of its fields, and of the properties marked with `in_json`. Metadata of a field changes its
place: `field(metadata=named("bytes"))`, `field(metadata=HIDDEN)`, and `field(metadata=INLINE)` for a dataclass whose
members stand beside the other fields; those of a property marked with `inlined` do, too. `field(metadata=through(f))`
has the value that f makes of the field's.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache, cached_property
from os import PathLike, fspath
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.output import finite

AnyType = TypeVar("AnyType")
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
HIDDEN: Mapping[str, Any] = {"json": None}  # metadata of a field that JSON leaves out
INLINE: Mapping[str, Any] = {"json": "*"}  # metadata of a dataclass whose members stand beside the other fields
OPTIONAL: Mapping[str, Any] = {"optional": True}  # metadata of a field that is left out where it is None
NAN_IF_NULL: Mapping[str, Any] = {"null": math.nan}  # metadata of a float that is null in JSON where it is nan
_LARGEST = 2**53 + 1  # below it, a float holds every integer
_LONGEST = 80  # characters of an error about a value


def named(name: str) -> dict[str, Any]:
    """Metadata of a field that has another name in JSON."""
    return {"json": name}


def through(function: Callable[[Any], Any]) -> dict[str, Any]:
    """Metadata of a field that JSON has as `function` makes it, unless it is None."""
    return {"through": function}


def in_json(function: AnyFunction) -> AnyFunction:
    """Mark the function of a property whose value JSON has, too; reading JSON leaves it out."""
    function.in_json = True  # type: ignore[attr-defined]  # read by `_derived`
    return function


def in_json_as(name: str, *, optional: bool = False) -> Callable[[AnyFunction], AnyFunction]:
    """As `in_json`, under another name than that of the property, and if `optional` left out where it is None."""

    def mark(function: AnyFunction) -> AnyFunction:
        function.in_json, function.is_optional = name, optional  # type: ignore[attr-defined]  # as above
        return function

    return mark


def inlined(function: AnyFunction) -> AnyFunction:
    """Mark the function of a property that returns a dataclass, whose members JSON has beside the other fields."""
    function.in_json = "*"  # type: ignore[attr-defined]  # as above
    return function


def to_json(value: Any) -> Any:
    """A value as JSON has it: dataclasses and named tuples are objects, paths text, nan and infinity null.

    >>> to_json({"path": Path("a"), "loss": math.nan, "sizes": (1, 2)})
    {'path': 'a', 'loss': None, 'sizes': [1, 2]}
    """
    return finite(_plain(value))


def _plain(value: Any) -> Any:  # noqa: PLR0911  # a case for each kind of value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dict(_members(value))
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()} | _plain_derived(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PathLike):
        return fspath(value)
    if hasattr(value, "tolist"):  # NumPy's and PyTorch's arrays and numbers
        return _plain(value.tolist())
    if hasattr(value, "denominator") and not isinstance(value, int):  # a fraction
        return float(value)
    return value


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(value):
        name, item = field.metadata.get("json", field.name), getattr(value, field.name)
        item = field.metadata["through"](item) if item is not None and "through" in field.metadata else item
        if name == "*":
            yield from _plain(item).items()
        elif name is not None and not (item is None and field.metadata.get("optional")):
            yield name, _plain(item)
    yield from _plain_derived(value).items()


def _plain_derived(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, function in _derived(type(value)).items():  # type: ignore[arg-type]  # as in options_of
        item = _plain(getattr(value, name))
        if item is not None or not getattr(function, "is_optional", False):
            found |= item if function.in_json == "*" else {_json_name(name, function): item}
    return found


@cache
def _derived(kind: type) -> dict[str, Any]:
    """The properties that `in_json` and `inlined` mark, those of bases first, and their functions."""
    functions = {name: _function(value) for base in reversed(kind.__mro__) for name, value in vars(base).items()}
    return {name: function for name, function in functions.items() if hasattr(function, "in_json")}


def _json_name(name: str, function: Any) -> str:
    """The name in JSON of a property."""
    return function.in_json if isinstance(function.in_json, str) else name


def _function(value: object) -> Any:
    """The function of a property; None for anything else."""
    return value.func if isinstance(value, cached_property) else getattr(value, "fget", None)


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


def _built_object(kind: type, value: object) -> Any:
    if not isinstance(value, Mapping):
        raise TypeError(f"{kind.__name__} is not an object")  # as every error of reading
    hints, rest, built = get_type_hints(kind), dict(value), {}
    for field in dataclasses.fields(kind):
        name = field.metadata.get("json", field.name)
        if name == "*":
            inner = {f.metadata.get("json", f.name) for f in dataclasses.fields(hints[field.name])}
            taken = {key: rest.pop(key) for key in inner & rest.keys()}
            built[field.name] = _built_object(hints[field.name], taken)
        elif name in rest:
            item = rest.pop(name)
            is_nan = item is None and "null" in field.metadata
            built[field.name] = field.metadata["null"] if is_nan else _built(hints[field.name], item, name)
        elif field.metadata.get("optional"):
            built[field.name] = None
        elif name is not None and field.default is field.default_factory is dataclasses.MISSING:
            raise TypeError(f"it has no {name}")
    unknown = rest.keys() - {_json_name(name, function) for name, function in _derived(kind).items()}
    if unknown:
        raise TypeError(f"{kind.__name__} has no {min(map(str, unknown))}"[:_LONGEST])
    return kind(**built)


def matches(value: object, hint: Any) -> bool:
    """Whether a JSON value is of a type.

    >>> matches([1, 2.5], list[float]), matches(True, int), matches({"loss": None}, dict[str, float | None])
    (True, False, True)
    """
    try:
        _built(hint, value, "")
    except TypeError:
        return False
    return True


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
    if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
        return _schema_of_object(cast("type", hint))
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


def _schema_of_object(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    properties: dict[str, Any] = {}
    required = []
    metadata = {f.name: f.metadata for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else {}
    for field in metadata or kind._fields:  # type: ignore[attr-defined]  # of a named tuple
        described: Mapping[str, Any] = metadata.get(field, {})
        name = described.get("json", field)
        if name == "*":
            inner = schema_of(hints[field])
            properties |= inner["properties"]
            required += inner["required"]
        elif name is not None:
            properties[name] = {} if "through" in described else schema_of(hints[field])
            required += [] if described.get("optional") else [name]
    for name, function in _derived(kind).items():
        schema = schema_of(get_type_hints(function).get("return", Any))
        if function.in_json == "*":
            properties |= schema["properties"]
            required += schema["required"]
        else:
            properties[_json_name(name, function)] = schema
            required += [] if getattr(function, "is_optional", False) else [_json_name(name, function)]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


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
