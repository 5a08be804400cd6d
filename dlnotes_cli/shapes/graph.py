"""A network as a graph: each node is a layer or an operation that reads the outputs of earlier nodes."""

from collections.abc import Iterable
from typing import NamedTuple

from dlnotes_cli.shapes.layer import RESIDUAL, Layer, truncate
from dlnotes_cli.shell.errors import InputError

INPUT = -1  # the index that stands for the input of the network
OPERATION_PREFIX = "torch."  # of operations that are not layers; a layer list cannot name them
STATE = "torch.state"  # a state that the recurrent layer before returns next to its output
_LIST_FIX = f"list the layers, a block whose input is added to its output as {RESIDUAL}(...)"


class Node(NamedTuple):
    """One run of a layer; a layer that runs twice is the same object in two nodes."""

    layer: Layer
    inputs: tuple[int, ...]
    offset: int = 0  # of the nodes whose shapes the arguments name

    def shifted(self, offset: int) -> "Node":
        """The node in a network with `offset` more nodes before it."""
        return Node(self.layer, tuple(index + offset for index in self.inputs), self.offset + offset)


class Network(NamedTuple):
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
