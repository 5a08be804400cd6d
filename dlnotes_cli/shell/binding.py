"""From a command function and its frozen Config to a Typer command: an option is declared once, in the dataclass."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import REQUIRED, Config, Option, choices_of, flag, hints_of, is_tuple, options_of, type_of
from dlnotes_cli.shell.show import check_outputs, show
from dlnotes_cli.shell.startup import PlainCommand

PACKAGE = "dlnotes_cli"  # of the modules that are named as text
CommandFunction = Callable[[Any], None]  # of a Config
ARGUMENTS = "Arguments"  # the panel above those of the options
_METAVARS = {bool: "", int: "N", float: "X", Path: "PATH"}


@dataclass(frozen=True)
class Command:
    """A command: its function, which has one parameter `config`, its panel in the program's help, and its examples.

    `task` is the function that does the work and `also` what else `dlnotes_cli.api` has of the command, each as
    `MODULE:NAME -> RESULT` with the types of its result where `--json` prints exactly these.
    """

    function: CommandFunction
    panel: str
    examples: Sequence[str]
    task: str = ""
    also: Sequence[str] = ()

    @property
    def config_type(self) -> type[Config]:
        """The Config whose fields are the command's options."""
        config_type: type[Config] = get_type_hints(self.function)["config"]
        return config_type

    @property
    def help(self) -> str:
        """The function's docstring with the examples below it, in Typer's markup."""
        examples = "\n\n".join(f"[bold]$ {example}[/bold]" for example in self.examples)
        return f"{self.text}\n\n{examples}"

    @property
    def text(self) -> str:
        """The function's docstring, each paragraph in one line."""
        return re.sub(r"(?<![.\n])\n(?!\n)", " ", inspect.getdoc(self.function) or "")

    @property
    def entries(self) -> list[str]:
        """The tasks, and what else `dlnotes_cli.api` has."""
        repeated_by: str = getattr(self.config_type, "repeated_by", "")
        return [entry for entry in (self.task, *self.also, repeated_by) if entry]

    @property
    def public(self) -> dict[str, str]:
        """The names that `dlnotes_cli.api` has of the command, each with its module."""
        names = {self.config_type.__name__: self.config_type.__module__}
        for entry in self.entries:
            module, *found = re.findall(r"[\w.]+", entry)
            names |= dict.fromkeys(found, f"{PACKAGE}.{module}")
        return names

    @property
    def result_types(self) -> list[Any]:
        """The types of what the command prints with `--json`; empty where they are not declared."""
        modules = self.public
        names = [name for entry in self.entries for name in re.findall(r"\w+", entry.partition("->")[2])]
        return [getattr(import_module(modules[name]), name) for name in names]

    def run(self, config: Config) -> None:
        """Call the function; if it has no statements, check the output files, do the task and show its result.

        With several `seeds`, the function that `repeated_by` of the Config names does the task with each.
        """
        if getattr(config, "seeds", 1) > 1:
            repeat = _imported(getattr(config, "repeated_by", ""))
            show(repeat(_imported(self.task), config), config)
            return
        if self.function.__code__.co_code != _without_statements.__code__.co_code:
            self.function(config)
            return
        check_outputs(config)
        show(_imported(self.task)(config), config)


def _imported(entry: str) -> Any:
    """The function that `MODULE:FUNCTION -> RESULT` names."""
    module, name, *_ = re.findall(r"[\w.]+", entry)
    return getattr(import_module(f"{PACKAGE}.{module}"), name)


def _without_statements(config: Config) -> None:
    """Do nothing."""


def command(
    *, panel: str, examples: Sequence[str], task: str = "", also: Sequence[str] = ()
) -> Callable[[CommandFunction], Command]:
    """Declare a function as a command; `cli.COMMANDS` gives it its name.

    A function without statements shows the result of the task.
    """
    return lambda function: Command(function, panel, examples, task, also)


def add_command(app: typer.Typer, name: str, declared: Command, *, is_only_listed: bool = False) -> None:
    """Register a command, without its options if it is only listed.

    Only options that the user sets reach the Config, so its defaults are the only ones.
    """
    config_type = declared.config_type

    def callback(**values: Any) -> None:
        config = config_from_shell(config_type, values)
        output.configure(quiet=config.quiet, verbose=config.verbose)
        values = to_json(config)
        in_force = [
            f"{name} {values[name]}" for name in options_of(config_type) if values[name] not in (None, False, [])
        ]
        output.detail("options", ", ".join(in_force))
        try:
            declared.run(config)
        except InputError as error:
            names = {f"--{name}": flag(name, one) for name, one in options_of(config_type).items() if one.is_argument}
            if error.where not in names:
                raise
            raise InputError(names[error.where], error.what, error.fix) from error

    options = {} if is_only_listed else options_of(config_type)
    parameters = [_parameter(config_type, key, described) for key, described in options.items()]
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    callback.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    callback.__doc__ = declared.help
    implied = {flag(key, described): described.implied for key, described in options.items() if described.implied}
    callback.implied = implied  # type: ignore[attr-defined]  # read by PlainCommand
    app.command(name, rich_help_panel=declared.panel, cls=PlainCommand)(callback)


def config_from_shell(config_type: type[Config], values: dict[str, Any]) -> Config:
    """Create a config from the text of a command line; None and empty lists are options that the user did not set."""
    return config_type.from_options({key: value for key, value in values.items() if value not in (None, [])})


def _parameter(config_type: type[Config], key: str, described: Option) -> inspect.Parameter:
    """The parameter of a callback from which Typer makes an option or argument; Typer converts no values."""
    hint, choices = hints_of(config_type)[key], choices_of(config_type, key)
    details: dict[str, Any] = {
        "help": _help_with_default(described, choices, config_type.shown_default(key)),
        "rich_help_panel": ARGUMENTS if described.is_argument else described.panel,
        "show_default": False,
        "metavar": described.metavar or ("CHOICE" if choices else _METAVARS.get(type_of(hint), "TEXT")),
    }
    if choices or described.complete:
        details["autocompletion"] = described.complete or (lambda: list(choices))
    unset = ... if described.default is REQUIRED else None
    if described.is_argument:
        parameter = typer.Argument(unset, **details)
    else:
        parameter = typer.Option(unset, *_names(key, described, hint), **details)
    shell_type: Any = bool if type_of(hint) is bool else str
    if is_tuple(hint) and (described.parse is None or is_tuple(get_args(type_of(hint))[0])):
        shell_type = list[str]  # several arguments, or an option that may be repeated
    return inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=parameter, annotation=shell_type)


def _names(key: str, described: Option, hint: Any) -> list[str]:
    """The names of an option; one that is on, off or unset has a second name, --no-..., to turn it off."""
    name = flag(key, described)
    if type_of(hint) is bool and hint is not bool:
        name = f"{name}/--no-{name.removeprefix('--')}"
    return [described.short, name] if described.short else [name]


def _help_with_default(described: Option, choices: Sequence[str], default: str) -> str:
    """The help of an option with its choices and range, where the text does not name them, and its default."""
    text = described.help
    if choices and not all(choice in text for choice in choices):
        text = f"{text.rstrip('.')}: {', '.join(choices)}."
    limits = described.within.help if described.within else ""
    notes = [limits] if limits and limits not in text else []
    notes += [f"default: {default}"] if default else []
    return text + (f" [dim]\\[{'; '.join(notes)}][/dim]" if notes else "")
