"""From a frozen Config to a Typer command: an option is written once, in its dataclass."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.option import REQUIRED, Config, Option, choices_of, flag, hints_of, options_of
from dlnotes_cli.shell.startup import PlainCommand

Run = Callable[[Any], None]
ARGUMENTS = "Arguments"  # the panel above those of the options


def add_command(app: typer.Typer, run: Run, *, panel: str, examples: Sequence[str], name: str | None = None) -> None:
    """Register `run(config)` as a command whose options are the fields of its Config.

    The help is the function's docstring with the examples below it. Only what the user gave is passed to the Config, so
    that the shell and Python share one set of defaults.
    """
    config_type: type[Config] = get_type_hints(run)["config"]

    def callback(**values: Any) -> None:
        given = {key: value for key, value in values.items() if value not in (None, [])}
        config = _config(config_type, given)
        output.configure(quiet=getattr(config, "quiet", False), verbose=getattr(config, "verbose", False))
        output.detail(f"options  {_told(config)}")
        run(config)

    parameters = [_parameter(config_type, key, described) for key, described in options_of(config_type).items()]
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    callback.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    callback.__doc__ = _help(run, examples)
    app.command(name or config_type.command.split()[-1], rich_help_panel=panel, cls=PlainCommand)(callback)


def _config(config_type: type[Config], given: dict[str, Any]) -> Config:
    return config_type.from_given({key: _value(config_type, key, value) for key, value in given.items()})


def _value(config_type: type[Config], key: str, text: Any) -> Any:
    """The value that a word of the command line stands for; flags and lists of words are values already.

    Empty words are refused, unless the option's own parser gives them a meaning.
    """
    described = options_of(config_type)[key]
    if described.parse is None and (text == "" or (isinstance(text, list) and "" in text)):
        raise InputError(flag(key, described), "is empty", "give a value, or leave it out")
    if isinstance(text, list):
        return tuple(text)
    if not isinstance(text, str):
        return text
    parse = described.parse or _PARSERS.get(_plain_type(config_type, key), str)
    try:
        return parse(text)
    except ValueError as error:
        raise InputError(flag(key, described), str(error), "see --help") from error


def _plain_type(config_type: type[Config], key: str) -> type:
    """The one of bool, int, float, Path that a field holds, else str."""
    hint = hints_of(config_type)[key]
    return next((plain for plain in (bool, *_PARSERS) if plain in (hint, *get_args(hint))), str)


def _parameter(config_type: type[Config], key: str, described: Option) -> inspect.Parameter:
    choices, plain = choices_of(config_type, key), _plain_type(config_type, key)
    details: dict[str, Any] = {
        "help": _described(described, choices, config_type.__dataclass_fields__[key].default),
        "rich_help_panel": ARGUMENTS if described.is_argument else described.group,
        "show_default": False,
        "metavar": "" if plain is bool else described.metavar or ("WORD" if choices else _METAVARS[plain]),
    }
    if choices or described.complete:
        details["autocompletion"] = described.complete or (lambda: list(choices))
    is_required = config_type.__dataclass_fields__[key].default is REQUIRED
    shell_type: Any = bool if plain is bool else str
    if described.parse is None and str(hints_of(config_type)[key]).startswith("tuple"):
        shell_type = list[str]  # words one by one, an option repeated
    if described.is_argument:
        described_as = typer.Argument(**details)
    else:
        described_as = typer.Option(*(described.names or (flag(key, described),)), **details)
    annotation: Any = Annotated[shell_type if is_required else shell_type | None, described_as]
    default = inspect.Parameter.empty if is_required else None
    return inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _told(config: Config) -> str:
    """The options in force that are not left open."""
    given = {name: value for name, value in config.as_json().items() if value not in (None, False, [])}
    return ", ".join(f"{name} {value}" for name, value in given.items())


def _described(described: Option, choices: Sequence[str], default: Any) -> str:
    """The help of an option, its choices and default at the end."""
    text = described.help
    if choices and not all(choice in text for choice in choices):
        text = f"{text.rstrip('.')}: {', '.join(choices)}."
    if described.shown_default is not None:
        shown = described.shown_default
    elif isinstance(default, tuple):
        shown = ",".join(map(str, default))
    else:
        shown = "" if default is None or default is False or default is REQUIRED else f"{default}"
    return text + (f" [dim]\\[{shown}][/dim]" if shown else "")


def _help(run: Run, examples: Sequence[str]) -> str:
    shown = "\n\n".join(f"[bold]$ {example}[/bold]" for example in examples)
    return f"{inspect.getdoc(run)}\n\n{shown}"


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a number") from None


_PARSERS: dict[type, Callable[[str], Any]] = {int: _whole_number, float: _number, Path: user_path}
_METAVARS = {int: "N", float: "X", Path: "PATH", str: "TEXT"}
