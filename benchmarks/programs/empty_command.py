"""Run a `dlnotes` command that does nothing: the start-up time of every command.

Usage: python benchmarks/programs/empty_command.py
"""

import sys
from types import ModuleType

from dlnotes_cli import cli
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.option import Config


@command(panel="Use", examples=())
def nothing(config: Config) -> None:
    """Do nothing."""


if __name__ == "__main__":
    module = ModuleType("dlnotes_cli.nothing")
    module.nothing = nothing  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module  # where `cli` looks for the module of a command
    cli.COMMANDS["nothing"] = "nothing:nothing"
    cli.main(["nothing"])
