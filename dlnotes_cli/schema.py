"""`dlnotes schema`: the options of commands and the JSON Schema of their results, for other programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from dlnotes_cli.cli import COMMANDS, load_command
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import Command, command
from dlnotes_cli.shell.codec import schema_of, to_json
from dlnotes_cli.shell.errors import unknown_choice
from dlnotes_cli.shell.option import (
    REQUIRED,
    Config,
    Option,
    choices_of,
    flag,
    hints_of,
    is_tuple,
    option,
    options_of,
    rule_text,
    type_of,
)

_TYPES = {bool: "boolean", int: "integer", float: "number", Path: "path"}  # every other type is a string


@dataclass(frozen=True, kw_only=True)
class SchemaConfig(Config, command="schema"):
    """Options of `dlnotes schema`."""

    name: tuple[str, ...] = option(
        (), "Command or group, such as train-mlp or series; without it, all.", panel="Output", metavar="COMMAND",
        is_argument=True, complete=lambda: sorted({name.split()[0] for name in COMMANDS}),
    )  # fmt: skip


@dataclass(frozen=True)
class OptionSchema:
    """An option of a command; `range` is an interval, `several` says whether it takes a list.

    `default_text` is the default as the help shows it, also where a recipe or the data sets it. The rules are about
    other options: those that exclude it, of which it needs one, with which it has no effect.
    """

    name: str
    short: str
    type: str
    several: bool
    required: bool
    choices: tuple[str, ...]
    range: str | None
    default: Any
    default_text: str
    help: str
    panel: str
    conflicts: tuple[str, ...]
    needs: tuple[str, ...]
    unused_with: tuple[str, ...]


@dataclass(frozen=True)
class CommandSchema:
    """A command; `result` is the JSON Schema of what it prints with `--json`, null where that is not declared."""

    name: str
    panel: str
    help: str
    examples: tuple[str, ...]
    options: tuple[OptionSchema, ...]
    result: dict[str, Any] | None


@dataclass(frozen=True)
class SchemaResult:
    """The commands that are asked for, in the order of the help."""

    commands: tuple[CommandSchema, ...]


@command(
    panel="Manage",
    task="schema:describe_commands -> SchemaResult",
    examples=("dlnotes schema train-mlp", "dlnotes schema series"),
)
def schema(config: SchemaConfig) -> None:
    """Print as JSON which options commands have, and the JSON Schema of what they print with --json."""
    output.document(config.command, to_json(describe_commands(config)))


def describe_commands(config: SchemaConfig) -> SchemaResult:
    """Describe a command, the commands of a group, or all. Raises InputError for an unknown name."""
    wanted = " ".join(config.name)
    names = [name for name in COMMANDS if not wanted or f"{name} ".startswith(f"{wanted} ")]
    if not names:
        raise unknown_choice("COMMAND", wanted, COMMANDS)
    return SchemaResult(tuple(_command_schema(name, load_command(name)) for name in names))


def _command_schema(name: str, declared: Command) -> CommandSchema:
    kind = declared.config_type
    options = tuple(_option_schema(kind, field, described) for field, described in options_of(kind).items())
    return CommandSchema(name, declared.panel, declared.text, tuple(declared.examples), options, document_schema(name))


def _option_schema(kind: type[Config], field: str, described: Option) -> OptionSchema:
    hint = hints_of(kind)[field]
    inner = get_args(type_of(hint))[0] if is_tuple(hint) else type_of(hint)

    def rules(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(rule_text(kind, rule) for rule in names if rule.partition("=")[0] in options_of(kind))

    return OptionSchema(
        name=flag(field, described),
        short=described.short,
        type=_TYPES.get(inner, "string"),
        several=is_tuple(hint),
        required=described.default is REQUIRED,
        choices=choices_of(kind, field),
        range=described.within.notation if described.within else None,
        default=None if described.default is REQUIRED else described.default,
        default_text=kind.shown_default(field),
        help=described.help,
        panel=described.panel,
        conflicts=rules(described.conflicts),
        needs=rules(described.needs),
        unused_with=rules(described.unused_with),
    )


def document_schema(name: str) -> dict[str, Any] | None:
    """The JSON Schema of what a command prints with `--json`; None where the types of its result are not declared."""
    header = {"schema_version": {"const": output.SCHEMA_VERSION}, "command": {"const": name}}
    schemas = []
    for kind in load_command(name).result_types:
        schema = schema_of(kind)
        required = list(dict.fromkeys([*header, *schema["required"]]))  # a training result has the command, too
        schemas.append(schema | {"properties": header | schema["properties"] | header, "required": required})
    return {"anyOf": schemas} if len(schemas) > 1 else next(iter(schemas), None)
