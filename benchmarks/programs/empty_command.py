"""Run a `dlnotes` command that does nothing: the start-up time of every command.

Usage: python benchmarks/programs/empty_command.py
"""

import sys
from types import ModuleType

import typer

from dlnotes_cli import cli
from dlnotes_cli.shell.startup import PlainCommand


def nothing() -> None:
    """Do nothing."""


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("nothing", cls=PlainCommand)(nothing)


if __name__ == "__main__":
    module = ModuleType("dlnotes_cli.nothing")
    module.register = register  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module  # where `cli` looks for the module of a command
    cli.COMMANDS["nothing"] = "nothing"
    cli.main(["nothing"])
