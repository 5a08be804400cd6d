"""How an option is declared: one dataclass field with its default, range, help and panel."""

import dataclasses
import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import user_path

PANELS = ("Data", "Model", "Training", "Output", "Runtime")  # of a command's help, in this order
DATA, MODEL, TRAINING, OUTPUT, RUNTIME = PANELS
REQUIRED: Any = dataclasses.MISSING  # the default of an option without one
_TECHNICAL_BOUND = 1000  # of a range: such bounds, and the inverse as a lower one, are left out of the help


@dataclass(frozen=True)
class Range:
    """An interval of numbers in mathematical notation.

    >>> 1.0 in Range("[0, 1)"), 0 in Range("[0, 1)"), float("nan") in Range("(0, inf)")
    (False, True, False)
    >>> str(Range("(0, 1]"))
    'above 0 and at most 1'
    """

    notation: str

    def _bounds(self) -> tuple[str, float, float, str]:
        match = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", self.notation)
        if match is None:
            raise ValueError(f"not an interval: {self.notation}")
        return match[1], float(match[2]), float(match[3]), match[4]

    def __contains__(self, value: float) -> bool:
        left, low, high, right = self._bounds()
        above = value > low if left == "(" else value >= low
        below = value < high if right == ")" else value <= high
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        left, low, high, right = self._bounds()
        limits = []
        if math.isfinite(low):
            limits.append(f"{'above' if left == '(' else 'at least'} {_plain_number(low)}")
        if math.isfinite(high):
            limits.append(f"{'below' if right == ')' else 'at most'} {_plain_number(high)}")
        return " and ".join(limits) or "finite"

    @property
    def wanted(self) -> str:
        """What to give, in an error.

        >>> Range("[0, 1)").wanted, Range("(0, inf)").wanted
        ('a value of at least 0 and below 1', 'a value above 0')
        """
        text = str(self)
        return f"a value of {text}" if text.startswith("at ") else f"a value {text}"

    @property
    def help(self) -> str:
        """The interval in the help of an option, without bounds that only protect from overflow; empty for none.

        >>> Range("[0, 1)").help, Range("[1, 64]").help, Range("(0, 1e6]").help, Range("[-1e6, 1e6]").help
        ('0 to below 1', '1 to 64', 'above 0', '')
        """
        left, low, high, right = self._bounds()
        if abs(low) >= _TECHNICAL_BOUND:
            return ""
        if 0 < low < 1 / _TECHNICAL_BOUND:
            left, low = "(", 0.0
        if high >= _TECHNICAL_BOUND:
            return f"{'above' if left == '(' else 'at least'} {_plain_number(low)}"
        if left == "(":
            return f"above {_plain_number(low)}, {'below' if right == ')' else 'at most'} {_plain_number(high)}"
        return f"{_plain_number(low)} to {'below ' if right == ')' else ''}{_plain_number(high)}"


@dataclass(frozen=True)
class Option:
    """The description of an option; it holds no class of a parser library, so that describing options loads none.

    A rule of `conflicts`, `needs` or `unused_with` is the name of another field, which holds if that is not at its
    default, or `FIELD=VALUE|VALUE`, which holds if it is or contains one of these values. Rules about fields that a
    command does not have are left out.
    """

    default: Any
    help: str
    panel: str
    name: str = ""  # the long name where it is not the field's
    short: str = ""
    within: Range | None = None
    parse: Callable[[str], Any] | None = None
    metavar: str | None = None
    shown_default: str | None = None
    complete: Callable[..., list[str]] | None = None  # all values, or those that start with its argument `incomplete`
    is_argument: bool = False
    implied: str = ""  # the value of the option where none follows it on a command line
    choices: Collection[str] = ()  # the names that are allowed, where the type of the field is no `Literal`
    ends_in: str = ""  # how the name of a file to write ends: `.png`, or one of `.svg|.png`
    conflicts: tuple[str, ...] = ()  # rules that may not hold where this option is set
    needs: tuple[str, ...] = ()  # rules of which one must hold where this option is set
    unused_with: tuple[str, ...] = ()  # rules with which this option has no effect


def option(
    default: Any,
    help: str,  # noqa: A002  # the usual name in option parsers
    *,
    panel: str,
    within: str | None = None,
    **details: Any,
) -> Any:
    """Declare an option of a Config; those that several share are constants, such as `SEED`.

    A default of None is set later, by the recipe or from the data, as `shown_default` says. `details` are fields of
    `Option`; its `parse` turns text into the value and raises ValueError with what it expects.
    """
    return Option(default, help, panel, within=Range(within) if within else None, **details)


JSON = option(False, "Print the result as one JSON document.", panel="Output", conflicts=("csv=-",))
QUIET = option(
    False, "Print only the result and errors, without progress; long tables are reduced to totals and paths.",
    panel="Output", short="-q",
)  # fmt: skip
VERBOSE = option(False, "Print more details to standard error.", panel="Output", short="-v")


def _field(described: Option) -> Any:
    """The dataclass field of an option."""
    return dataclasses.field(default=described.default, metadata={"option": described})


@dataclass(frozen=True, kw_only=True)
class Config:
    """The options that every command has, and the base of the others.

    Creating one converts every value to its field's type and validates it. Values may be text, as in the shell:
    `epochs="5"`, `out="runs/digits"`, `time_budget="90s"`, `hidden="64,32"`. Lists may stand for tuples, and any
    path-like object for a path. Raises InputError for a value that is not valid.
    """

    command: ClassVar[str]
    is_shared: ClassVar[bool] = True  # in the body of a Config: its options come last in their panels
    changes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # of options by field, as rules of those of a base
    recipes: ClassVar[Mapping[str, object]] = {}  # with defaults of options, by the conditions under which they apply
    json: bool = _field(JSON)
    quiet: bool = _field(QUIET)
    verbose: bool = _field(VERBOSE)

    def __init_subclass__(cls, command: str = "") -> None:
        """Make a dataclass field of each option; `command` is the name of the command that has them."""
        if command:
            cls.command = command
        for name, value in list(vars(cls).items()):
            if isinstance(value, Option):
                setattr(cls, name, _field(value))

    def __post_init__(self) -> None:
        options = options_of(type(self))
        for name, value in self.converted({name: getattr(self, name) for name in options}).items():
            object.__setattr__(self, name, value)
        for name, described in options.items():
            if self._is_set(name):
                self._check_rules(flag(name, described), described)

    def _is_set(self, name: str) -> bool:
        """Whether an option is not at its default."""
        return bool(getattr(self, name) != options_of(type(self))[name].default)

    def _check_rules(self, where: str, described: Option) -> None:
        """Raise InputError where another option excludes one that is set, or one that it needs is not set."""
        for rule in described.conflicts:
            if self._holds(rule):
                raise InputError(where, f"cannot be combined with {self._rule_text(rule)}", "drop one of them")
        for rule in described.unused_with:
            if self._holds(rule):
                raise InputError(where, f"has no effect with {self._rule_text(rule)}", f"drop {where}")
        needed = [rule for rule in described.needs if rule.partition("=")[0] in options_of(type(self))]
        if needed and not any(map(self._holds, needed)):
            text = " or ".join(map(self._rule_text, needed))
            raise InputError(where, f"has no effect without {text}", f"add it, or drop {where}")

    def _holds(self, rule: str) -> bool:
        name, _, values = rule.partition("=")
        if name not in options_of(type(self)):
            return False
        value = getattr(self, name)
        texts = {value_text(value), *(map(value_text, value) if isinstance(value, tuple) else ())}
        return not texts.isdisjoint(values.split("|")) if values else self._is_set(name)

    def _rule_text(self, rule: str) -> str:
        """A rule as in the shell, with the one value that is set where it is among those of the rule."""
        name, _, values = rule.partition("=")
        actual = value_text(getattr(self, name))
        return rule_text(type(self), f"{name}={actual}" if actual in values.split("|") else rule)

    @classmethod
    def converted(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Convert values of options, by field name, to the types of their fields; fields without an option are left.

        Raises InputError for a value that cannot be converted, is out of range or is not one of the choices.
        """
        options, hints = options_of(cls), hints_of(cls)
        return {
            name: _validated(value, hints[name], options[name], flag(name, options[name])) if name in options else value
            for name, value in values.items()
        }

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """Create a config from the options of a command line; the others have their defaults."""
        return cls(**values)

    @classmethod
    def shown_default(cls, name: str) -> str:
        """The default of an option as the help shows it; empty for none."""
        described = options_of(cls)[name]
        text, default = described.shown_default, described.default
        if text is None:
            text = "" if default is False or default in (None, (), REQUIRED) else value_text(default)
        return text or defaults_text(cls.recipes, name)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild a config from `to_json`; missing fields have their defaults, unknown ones are ignored."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})


def _options(config_type: type[Config]) -> dict[str, Option]:
    described: dict[str, Option] = {
        f.name: dataclasses.replace(f.metadata["option"], **config_type.changes.get(f.name, {}))
        for f in dataclasses.fields(config_type)
        if "option" in f.metadata
    }
    shared = {name for base in config_type.__mro__ if "is_shared" in vars(base) for name in vars(base)}

    def place(name: str) -> tuple[int, bool]:
        """The panel, in which options that commands of several capabilities share come last."""
        one = described[name]
        return (-1, False) if one.is_argument else (PANELS.index(one.panel), name in shared)

    return {name: described[name] for name in sorted(described, key=place)}


# The options of a config by field name, arguments first, then panel by panel; and the types of its fields.
options_of: Callable[[Any], dict[str, Option]] = cache(_options)
hints_of: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def type_of(hint: Any) -> Any:
    """The type of a field without `None`: bool, int, float, str, Path, a Literal or a tuple.

    >>> type_of(int | None), type_of(tuple[int, ...])
    (<class 'int'>, tuple[int, ...])
    """
    if type(None) not in get_args(hint):
        return hint
    return next(kind for kind in get_args(hint) if kind is not type(None))


def is_tuple(hint: Any) -> bool:
    """Whether a field holds several values."""
    return get_origin(type_of(hint)) is tuple


def choices_of(config_type: type[Config], name: str) -> tuple[str, ...]:
    """The names that a field allows, by its option's `choices` or its `Literal` type; empty if there are none."""
    return _choices(options_of(config_type)[name], type_of(hints_of(config_type)[name]))


def value_text(value: Any) -> str:
    """A value of an option as the help shows it.

    >>> value_text((512, 512)), value_text(1e-4), value_text(True)
    ('512,512', '0.0001', 'on')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(value_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def defaults_text(recipes: Mapping[str, object], name: str) -> str:
    """The defaults of an option in several recipes, by the conditions under which they apply; empty if none has it.

    The first condition, which is not shown, is the usual one. A condition is left out if its default is that of the
    condition it narrows ("tables" for "tables below 1,000 lines"), else the usual one; the recipe `notes` narrows none.
    """
    texts = {condition: text for condition, recipe in recipes.items() if (text := _default_text(recipe, name))}
    if len(set(texts.values())) <= 1:
        return next(iter(texts.values()), "")
    (_, usual), *others = texts.items()

    def wider(condition: str) -> str:
        return next((text for name, text in others if condition.startswith(f"{name} ")), usual)

    shown = [f"{condition}: {text}" for condition, text in others if text != wider(condition) or condition == "notes"]
    return "; ".join([usual, *shown])


def _default_text(recipe: object, name: str) -> str:
    value = getattr(recipe, name, None)
    return getattr(getattr(recipe, "length", None), f"{name}_text", "" if value is None else value_text(value))


def flag(name: str, described: Option) -> str:
    """The long name of an option in the shell: `--batch-size` for `batch_size`; an argument is `PATHS`."""
    if described.is_argument:
        return name.upper()
    return described.name or "--" + name.replace("_", "-")


def rule_text(config_type: type[Config], rule: str) -> str:
    """A rule about another option as in the shell: `--optimizer sgd or nesterov`."""
    name, _, values = rule.partition("=")
    return f"{flag(name, options_of(config_type)[name])} {values.replace('|', ' or ')}".strip()


def check_at_most_one(requested: Mapping[str, bool], because: str = "") -> None:
    """Raise InputError where more than one of these options is requested; keys are their names in the shell.

    >>> check_at_most_one({"--json": True, "--csv -": True}, "both print")
    Traceback (most recent call last):
    dlnotes_cli.shell.errors.InputError: --csv -: cannot be combined with --json: both print; drop one of them
    """
    names = [name for name, is_requested in requested.items() if is_requested]
    if len(names) > 1:
        what = f"cannot be combined with {names[0]}"
        raise InputError(names[1], f"{what}: {because}" if because else what, "drop one of them")


def _plain_number(value: float) -> str:
    """A bound of a range as text: 1,000,000 and not 1e+06.

    >>> _plain_number(1e6), _plain_number(0.5)
    ('1,000,000', '0.5')
    """
    return f"{value:,.0f}" if value == round(value) else f"{value:g}"


def _validated(value: Any, hint: Any, described: Option, where: str) -> Any:
    """A value as its field holds it, converted from text where necessary."""
    if value is None and type(None) in get_args(hint):
        return None
    if described.parse is None and (value == "" or (isinstance(value, tuple | list) and "" in value)):
        raise InputError(where, "is empty", "give a value, or leave it out")
    try:
        converted = _converted(value, type_of(hint), described.parse)
    except ValueError as error:
        is_parsed = described.parse is not None and isinstance(value, str)
        fix = f"give {described.within.wanted}" if described.within and not is_parsed else "see --help"
        if is_parsed and "," in (described.metavar or ""):
            fix = f"write {described.metavar}"
        raise InputError(where, str(error), fix) from error
    choices = _choices(described, type_of(hint))
    for item in converted if isinstance(converted, tuple) else (converted,):
        if choices and item not in choices:
            raise unknown_choice(where, str(item), choices)
        if described.within is not None and item not in described.within:
            typed = value.strip() if isinstance(value, str) and not isinstance(converted, tuple) else item
            raise InputError(where, f"{typed} is out of range", f"give {described.within.wanted}")
    if described.ends_in and converted.suffix.lower() not in described.ends_in.split("|"):
        ending = described.ends_in.replace("|", " or ")
        raise InputError(where, f"{converted} does not end in {ending}", f"give the name of a {ending} file")
    return converted


def _converted(value: Any, kind: Any, parser: Callable[[str], Any] | None = None) -> Any:
    """Convert text, a list or a JSON value to the type `kind`; raises ValueError with what is wrong."""
    is_nested = get_origin(kind) is tuple and is_tuple(get_args(kind)[0])  # whose items `parser` reads
    if parser is not None and isinstance(value, str) and not is_nested:
        return parser(value)
    if get_origin(kind) is tuple:
        values = value if isinstance(value, tuple | list) else [value]
        return tuple(_converted(item, get_args(kind)[0], parser if is_nested else None) for item in values)
    accepted, convert, complaint = _CONVERSIONS.get(kind, _CONVERSIONS[str])  # a Literal has text
    if isinstance(value, accepted) and (kind is bool or not isinstance(value, bool)):
        with suppress(ValueError):
            return convert(value)
    raise ValueError(f"{value!r} is {complaint}")


_CONVERSIONS: dict[Any, tuple[Any, Callable[[Any], Any], str]] = {  # by type: what it may be made of, and how
    bool: (bool, bool, "neither True nor False"),
    int: (str | Integral, int, "not an integer"),
    float: (str | Real, float, "not a number"),
    Path: (str | os.PathLike, lambda value: user_path(os.fspath(value)), "not a path"),
    str: (str | os.PathLike, os.fspath, "not text"),
}


def _choices(described: Option, kind: Any) -> tuple[str, ...]:
    names = get_args(kind) if get_origin(kind) is Literal else described.choices
    return tuple(map(str, names))
