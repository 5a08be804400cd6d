"""Sizes in a forward() that follow from shapes, and are known when its network is traced."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from dlnotes_cli.shapes.layer import RESIDUAL, InvalidLayerError, Layer, Shape

MAX_DEFERRED_SIZE = 200  # operations in one expression


@dataclass(frozen=True)
class ShapeOf:
    """The shape of a node's output, batch included, which is known when the network is traced."""

    node: int


@dataclass(frozen=True)
class Deferred:
    """A number, or a tuple of numbers, computed from shapes when the network is traced."""

    function: Callable[..., Any]
    operands: tuple[Any, ...]

    @property
    def count(self) -> int:
        """The number of operations in this expression."""
        return 1 + sum(operand.count for operand in self.operands if isinstance(operand, Deferred))


def resolved(layer: Layer, shape_of: Callable[[int], Shape]) -> Layer:
    """The layer with numbers in place of what its arguments compute from shapes."""
    values = [*layer.positional, *(value for _, value in layer.keywords)]
    if layer.name == RESIDUAL or not any(map(_is_deferred, values)):
        return layer
    positional = tuple(_value(value, shape_of) for value in layer.positional)
    keywords = tuple((name, _value(value, shape_of)) for name, value in layer.keywords)
    return replace(layer, positional=positional, keywords=keywords)


def _is_deferred(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(map(_is_deferred, value))
    return isinstance(value, Deferred | ShapeOf)


def _value(value: Any, shape_of: Callable[[int], Shape]) -> Any:
    if isinstance(value, ShapeOf):
        return shape_of(value.node)
    if isinstance(value, tuple | list):
        return tuple(_value(item, shape_of) for item in value)
    if not isinstance(value, Deferred):
        return value
    operands = [_value(operand, shape_of) for operand in value.operands]
    try:
        return value.function(*operands)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise InvalidLayerError(f"its size cannot be computed ({error})", "check the dimensions") from error
