"""Typer's commands without what we have no use for: types and braces in the help, and the conversion of words.

A Config converts and checks words itself; Typer would load pydantic for it, which takes longer than a small command.
"""

from typing import Any

from typer.core import TyperCommand, TyperGroup


class PlainCommand(TyperCommand):
    """A command whose help is plain."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, told to show no type and to hand words on."""
        return _plain(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line; what must be given stands bare."""
        return [piece.removeprefix("{").removesuffix("}") for piece in super().collect_usage_pieces(ctx)]


class PlainGroup(TyperGroup):
    """A group of commands whose help is plain."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, told to show no type and to hand words on."""
        return _plain(super().get_params(ctx))


def _plain(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        parameter.get_runtime_param = _AsWritten
        if parameter.param_type_name == "argument" or parameter.metavar is None:
            parameter.display_type_rich = lambda ctx: None  # noqa: ARG005  # the name that Typer calls it by
    return parameters


class _AsWritten:
    """What Typer asks to convert a parameter's words."""

    def coerce(self, value: Any, **_: Any) -> Any:
        """The words themselves."""
        return list(value) if isinstance(value, tuple) else value
