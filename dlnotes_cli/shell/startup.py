"""What makes the program start fast, each with its gain: medians of 15 runs, alternating with and without it.

Elsewhere: modules that only errors or writing need (difflib, traceback, tempfile) are imported inside functions, 1 ms.
"""

import gc
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

from typer.core import TyperCommand, TyperGroup

HELP_FLAGS = ("-h", "--help")
_OBJECTS = 100_000  # allocated between two garbage collections; starting a command allocates fewer, none of it garbage


def collect_garbage_rarely() -> None:
    """Keep the garbage collector from running while commands and torch are imported.

    9 ms of the 188 ms of `dlnotes --help`, 115 ms of the 1,269 ms of `dlnotes doctor`, which imports torch.
    """
    gc.set_threshold(_OBJECTS)


def skip_last_collection() -> None:
    """Keep Python from looking for garbage when the process ends, which frees its memory anyway.

    42 of the 1,154 million instructions of `dlnotes train-mlp --help`.
    """
    gc.freeze()


def needed(names: Iterable[str], first_argument: str | None) -> list[str]:
    """The names of the commands to load for a command line: those that `first_argument` names, or all.

    Loading one command instead of all: 62 ms of the 144 ms of `dlnotes conv-shape -W 130 -F 3`.
    """
    every = list(names)
    return [name for name in every if name.split()[0] == first_argument] or every


class _NoConversion:
    """Replaces Typer's conversion of values to types, which loads pydantic; a Config converts values instead.

    62 ms of the 146 ms of `dlnotes conv-shape -W 130 -F 3`.
    """

    def coerce(self, value: Any, **_: Any) -> Any:
        """Return the text as it is, several texts as a list."""
        return list(value) if isinstance(value, tuple) else value


def _unconverted(parameters: list[Any]) -> list[Any]:
    """Typer's parameters, changed to convert nothing and to show no type in the help."""
    for parameter in parameters:
        parameter.get_runtime_param = _NoConversion
        if parameter.param_type_name == "argument" or parameter.metavar is None:
            parameter.display_type_rich = lambda ctx: None  # noqa: ARG005  # the name of Typer's keyword argument
    return parameters


class PlainCommand(TyperCommand):
    """A Typer command without type conversion, whose usage line shows required arguments without braces.

    An option that its callback has in `implied` may stand without its value.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse a command line, after adding the values that are left out."""
        implied: dict[str, str] = getattr(self.callback, "implied", {})
        completed: list[str] = []
        for argument, following in zip_longest(args, args[1:], fillvalue="--"):
            completed.append(argument)
            if argument in implied and following.startswith("-"):
                completed.append(implied[argument])
        return super().parse_args(ctx, completed)

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, without type conversion."""
        return _unconverted(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line, without braces."""
        return [piece.removeprefix("{").removesuffix("}") for piece in super().collect_usage_pieces(ctx)]


class PlainGroup(TyperGroup):
    """A Typer group without type conversion."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, without type conversion."""
        return _unconverted(super().get_params(ctx))
