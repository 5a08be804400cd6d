"""From a frozen Config to a Typer command: an option is written once, in its dataclass."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from dlnotes_cli import output
from dlnotes_cli.configs.option import Config, Option, choices_of, flag, hints_of, options_of
from dlnotes_cli.errors import InputError

Run = Callable[[Any], None]


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
        run(config)

    parameters = [_parameter(config_type, key, described) for key, described in options_of(config_type).items()]
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    callback.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    callback.__doc__ = _help(run, examples)
    app.command(name or config_type.command.split()[-1], rich_help_panel=panel)(callback)


def _config(config_type: type[Config], given: dict[str, Any]) -> Config:
    options = options_of(config_type)
    values = {key: _value(key, value, options[key]) for key, value in given.items()}
    if "resume" in values:
        from dlnotes_cli.training.run_folder import resumed_config

        return resumed_config(config_type, values)
    return config_type(**values)


def _value(key: str, value: Any, described: Option) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, Path):
        return value.expanduser()
    if described.parse is None:
        return value
    try:
        return described.parse(value)
    except ValueError as error:
        raise InputError(flag(key, described), str(error)) from error


def _parameter(config_type: type[Config], key: str, described: Option) -> inspect.Parameter:
    choices = choices_of(config_type, key)
    complete = described.complete or (lambda: list(choices))
    details: dict[str, Any] = {
        "help": described.help,
        "rich_help_panel": described.group,
        "show_default": described.shown_default or _default_text(config_type, key),
        "metavar": described.metavar or ("|".join(choices) if choices else None),
    }
    if choices or described.complete:
        details["autocompletion"] = complete
    if described.is_argument:
        described_as: Any = typer.Argument(**details)
    else:
        described_as = typer.Option(*(described.names or (flag(key, described),)), **details)
    required = config_type.__dataclass_fields__[key].default is inspect.Parameter.empty
    annotation = Annotated[_shell_type(hints_of(config_type)[key], described), described_as]
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _shell_type(hint: Any, described: Option) -> Any:
    parts = (hint, *get_args(hint))
    if described.is_argument and tuple in (hint, getattr(hint, "__origin__", None)):
        return list[str] | None
    if described.parse is None:
        for plain in (bool, int, float, Path):
            if plain in parts:
                return plain | None
    return str | None


def _default_text(config_type: type[Config], key: str) -> str | bool:
    default = config_type.__dataclass_fields__[key].default
    if default is None or default == () or default is False:
        return False
    if isinstance(default, tuple):
        return ",".join(str(item) for item in default)
    return str(default)


def _help(run: Run, examples: Sequence[str]) -> str:
    shown = "\n\n".join(f"[bold]$ {example}[/bold]" for example in examples)
    return f"{inspect.getdoc(run)}\n\n{shown}"
