"""The text of a layer whose arguments are values: what a call with variables stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlnotes_cli.shapes.deferred import Deferred, ShapeOf
from dlnotes_cli.shapes.layer import Layer


def call_text(name: str, positional: Sequence[Any], keywords: Mapping[str, Any]) -> str:
    """A call with its arguments; a question mark for a size that follows from the input.

    >>> call_text("Conv2d", [3, 10], {"kernel_size": (3, 5)})
    'Conv2d(3, 10, kernel_size=(3, 5))'
    """
    arguments = [*map(_value_text, positional), *(f"{key}={_value_text(value)}" for key, value in keywords.items())]
    return f"{name}({', '.join(arguments)})"


def with_values(layer: Layer, name: str) -> Layer:
    """A layer whose text has its arguments as values."""
    return replace(layer, text=call_text(name, layer.positional, dict(layer.keywords)))


def _value_text(value: Any) -> str:
    if isinstance(value, tuple | list):
        items = ", ".join(map(_value_text, value))
        return f"[{items}]" if isinstance(value, list) else f"({items}{',' * (len(value) == 1)})"
    return "?" if isinstance(value, Deferred | ShapeOf) else repr(value)
