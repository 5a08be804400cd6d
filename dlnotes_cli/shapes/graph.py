"""A network as a graph: each node is a layer or an operation that reads the outputs of earlier nodes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from dlnotes_cli.shapes.layer import RESIDUAL, InvalidLayerError, Layer, Shape, truncate
from dlnotes_cli.shell.errors import InputError

INPUT = -1  # the index that stands for the input of the network
OPERATION_PREFIX = "torch."  # of operations that are not layers; a layer list cannot name them
STATE = "torch.state"  # a state that the recurrent layer before returns next to its output
MAX_DEFERRED_SIZE = 200  # sizes in one expression
_LIST_FIX = f"list the layers, a block whose input is added to its output as {RESIDUAL}(...)"


@dataclass(frozen=True)
class Node:
    """One run of a layer; a layer that runs twice is the same object in two nodes."""

    layer: Layer
    inputs: tuple[int, ...]
    offset: int = 0  # of the nodes whose shapes the arguments name

    def shifted(self, offset: int) -> "Node":
        """The node in a network with `offset` more nodes before it."""
        return Node(self.layer, tuple(index + offset for index in self.inputs), self.offset + offset)


@dataclass(frozen=True)
class Network:
    """The nodes of a network, each after its inputs; the last one returns the output.

    `is_code` is true for a forward() that was read, where PyTorch passes on what the code says.
    """

    nodes: tuple[Node, ...]
    notes: tuple[str, ...] = ()
    is_code: bool = False

    @classmethod
    def of_list(cls, layers: Iterable[Layer], notes: tuple[str, ...] = ()) -> "Network":
        """Layers that run one after the other."""
        return cls(tuple(Node(layer, (index - 1,)) for index, layer in enumerate(layers)), notes)

    def then(self, other: "Network") -> "Network":
        """This network followed by another one."""
        offset = len(self.nodes)
        shifted = (node.shifted(offset) for node in other.nodes)
        return Network((*self.nodes, *shifted), self.notes + other.notes, self.is_code or other.is_code)

    def as_list(self) -> tuple[Layer, ...]:
        """The layers, if each reads the one before; raises InputError for branches and operations."""
        for index, node in enumerate(self.nodes):
            if node.inputs != (index - 1,) or node.layer.name.startswith(OPERATION_PREFIX):
                where = node.layer.location or "layers"
                what = (
                    f"'{truncate(node.layer.text)}' makes the network a graph, and only a list of layers is supported"
                )
                raise InputError(where, what, _LIST_FIX)
        return tuple(node.layer for node in self.nodes)


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
