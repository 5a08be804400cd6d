"""How an option is written down: one dataclass field with its default, range, help and group."""

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import user_path

GROUPS = ("Data", "Model", "Training", "Output", "Device")  # the panels of a command's help, in this order
DATA, MODEL, TRAINING, OUTPUT, DEVICE = GROUPS
REQUIRED: Any = dataclasses.MISSING  # the default of an option that must be given


@dataclass(frozen=True)
class Range:
    """An interval of numbers in the usual notation.

    >>> 1.0 in Range("[0, 1)"), 0 in Range("[0, 1)"), float("nan") in Range("(0, inf)")
    (False, True, False)
    >>> str(Range("(0, 1]"))
    'above 0 and at most 1'
    """

    notation: str

    def _parts(self) -> tuple[str, float, float, str]:
        match = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", self.notation)
        if match is None:
            raise ValueError(f"not an interval: {self.notation}")
        return match[1], float(match[2]), float(match[3]), match[4]

    def __contains__(self, value: float) -> bool:
        left, low, high, right = self._parts()
        above = value > low if left == "(" else value >= low
        below = value < high if right == ")" else value <= high
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        left, low, high, right = self._parts()
        words = []
        if math.isfinite(low):
            words.append(f"{'above' if left == '(' else 'at least'} {low:g}")
        if math.isfinite(high):
            words.append(f"{'below' if right == ')' else 'at most'} {high:g}")
        return " and ".join(words) or "finite"


@dataclass(frozen=True)
class Option:
    """What the shell needs to know about a field; neutral, so that no parser is loaded to describe options."""

    help: str
    group: str
    names: tuple[str, ...] = ()
    within: Range | None = None
    parse: Callable[[str], Any] | None = None
    metavar: str | None = None
    shown_default: str | None = None
    complete: Callable[..., list[str]] | None = None  # all words, or those that begin as its `incomplete` does
    is_argument: bool = False
    choices: Collection[str] = ()  # a closed set of names that other code registers; else the field's `Literal` type


def option(
    default: Any,
    help: str,  # noqa: A002  # the word that option parsers use
    *,
    group: str,
    within: str | None = None,
    **details: Any,
) -> Any:
    """Describe one option as a dataclass field.

    A default of None with `shown_default` is filled in later, by the recipe or from the data; `details` are fields of
    `Option`; `parse` turns the shell's text into the value and raises ValueError with what it expected.
    """
    described = Option(help, group, within=Range(within) if within else None, **details)
    return dataclasses.field(default=default, metadata={"option": described})


@dataclass(frozen=True, kw_only=True)
class Config:
    """The base of every command's options; making one checks every value against its range and choices.

    Paths may be given as text, tuples as lists, and text stands for what it does in the shell.
    """

    command: ClassVar[str]

    def __post_init__(self) -> None:
        for name, described in options_of(type(self)).items():
            given, where = getattr(self, name), flag(name, described)
            if given is not None:
                value = _settled(where, given, hints_of(type(self))[name], described)
                object.__setattr__(self, name, value)
                _check(where, value, described, choices_of(type(self), name))

    @classmethod
    def from_given(cls, values: Mapping[str, Any]) -> Self:
        """The options that a command line gives; others keep their default."""
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """The options as plain JSON values, paths as text."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild a config from `as_json`; fields that are missing keep their default."""
        hints = hints_of(cls)
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: _typed(value, hints[name]) for name, value in stored.items() if name in known})


def options_of(config_type: type[Config]) -> dict[str, Option]:
    """The described fields of a config: arguments first, then options group by group, the command's own before others.

    Its own are those that the module of `config_type` defines.
    """
    described = {f.name: f.metadata["option"] for f in dataclasses.fields(config_type) if "option" in f.metadata}
    own = {
        name
        for base in config_type.__mro__
        if base.__module__ == config_type.__module__
        for name in inspect.get_annotations(base)
    }

    def place(item: tuple[str, Option]) -> tuple[int, bool]:
        name, option = item
        return (-1, False) if option.is_argument else (GROUPS.index(option.group), name not in own)

    return dict(sorted(described.items(), key=place))


def hints_of(config_type: type[Config]) -> dict[str, Any]:
    """The field types of a config, resolved once."""
    return _resolved(config_type)  # type: ignore[arg-type]  # mypy reads the instances' __hash__ as the class's


_resolved = cache(get_type_hints)


def choices_of(config_type: type[Config], name: str) -> tuple[str, ...]:
    """The closed set of values of a field: its option's `choices`, or those of its `Literal` type; else empty."""
    described: Option = config_type.__dataclass_fields__[name].metadata["option"]
    if described.choices:
        return tuple(described.choices)
    for part in (hints_of(config_type)[name], *get_args(hints_of(config_type)[name])):
        if get_origin(part) is Literal:
            return tuple(str(choice) for choice in get_args(part))
    return ()


def flag(name: str, described: Option) -> str:
    """The long name under which the shell knows a field: `batch_size` is `--batch-size`."""
    if described.is_argument:
        return name.upper()
    long_names = [n for n in described.names if n.startswith("--")]
    return long_names[0].split("/")[0] if long_names else "--" + name.replace("_", "-")


def _settled(where: str, value: Any, hint: Any, described: Option) -> Any:
    """A value as its field holds it, made from text or a list where a caller gave that."""
    kinds = {hint, *get_args(hint)}
    is_text = str in kinds or any(get_origin(kind) is Literal for kind in kinds)
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, str) or (is_text and get_origin(hint) is not tuple):
        return value
    if Path in kinds:
        return user_path(value)
    if described.parse is not None:
        try:
            return described.parse(value)
        except ValueError as error:
            raise InputError(where, str(error), "see --help") from error
    return (value,) if get_origin(hint) is tuple else value


def _check(where: str, value: Any, described: Option, choices: tuple[str, ...]) -> None:
    if choices and value not in choices:
        raise unknown_choice(where, str(value), choices)
    if described.within is None:
        return
    for number in value if isinstance(value, tuple) else (value,):
        if not isinstance(number, int | float):
            raise InputError(where, f"{number!r} is not a number", f"give a value {described.within}")
        if number not in described.within:
            raise InputError(where, f"{number} is out of range", f"give a value {described.within}")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _typed(value: Any, hint: Any) -> Any:
    parts = {hint, *get_args(hint)}
    if isinstance(value, str) and Path in parts:
        return Path(value)
    if isinstance(value, list):
        return tuple(value)
    return value
