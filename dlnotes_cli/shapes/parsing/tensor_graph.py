"""The graph that a forward() builds: nodes for layers and operations."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlnotes_cli.shapes.deferred import MAX_DEFERRED_SIZE, Deferred
from dlnotes_cli.shapes.graph import INPUT, OPERATION_PREFIX, STATE, Node
from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.call_text import call_text
from dlnotes_cli.shapes.parsing.source_text import SourceText
from dlnotes_cli.shapes.parsing.values import ConstantTensor, Opaque, State, Tensor, follows_from_shapes
from dlnotes_cli.shell.errors import InputError

RECURRENT = {"RNN", "LSTM", "GRU"}
SUPPORTED = (
    "supported are calls of layers, functions of torch and F with a layer's name, + - * / @, torch.cat, view, "
    "indexing, and if, for and while on constants"
)


class TensorGraph:
    """The nodes so far, and how layers and operations add to them."""

    def __init__(self, source: SourceText) -> None:
        self.nodes: list[Node] = []
        self._source = source

    def run(self, layer: Layer, tensor: Tensor) -> Any:
        """The result of a layer: for a recurrent one, a pair of output and state."""
        output = self.add(layer, tensor)
        if layer.name == "LSTM":
            return output, (State(output.node, 0), State(output.node, 1))
        if layer.name in RECURRENT:
            return output, State(output.node, 0)
        if any(name == "return_indices" and value for name, value in layer.keywords):
            return output, Opaque("the indices of a pooling layer")
        return output

    def finish(self, result: Any, node: ast.AST) -> tuple[Node, ...]:
        """The nodes, of which the last gives the result; of several results, the first is meant."""
        while isinstance(result, tuple | list) and result:
            result = result[0]
        output = self.tensor(result, node)
        if output.node != len(self.nodes) - 1 or not self.nodes:
            self.operation("return", node, output, text="return")
        return tuple(self.nodes)

    def tensor(self, value: Any, node: ast.AST) -> Tensor:
        """A value as a tensor of the graph; raises InputError for other values."""
        if isinstance(value, State):
            return self.add(Layer(STATE, (value.index,), text="state", location=self._source.location(node)),
                             Tensor(value.node))  # fmt: skip
        if isinstance(value, Tensor):
            return value
        if isinstance(value, ConstantTensor):
            return self.add(value.layer)
        text = self._source.text(node)
        if isinstance(value, tuple) and value and isinstance(value[0], Tensor):
            what = f"'{text}' in forward() passes on a pair, such as output and state"
            raise self._source.error(node, what, "take the output first, as in x, _ = self.lstm(x)")
        if isinstance(value, Opaque):
            what = f"'{text}' in forward() needs the size of {value.name}, and --input is that of one input"
            raise self._source.error(node, what, "use code that needs only the first input")
        raise self.unsupported(node)

    def constant(self, node: ast.expr, sizes: Sequence[Any]) -> Any:
        """A tensor of these sizes that does not follow from the input; Opaque where they are not known."""
        single = sizes[0] if len(sizes) == 1 else None
        known = tuple(single) if isinstance(single, tuple | list) else tuple(sizes)
        if not all(isinstance(size, int | Deferred) for size in known):
            return Opaque(f"'{self._source.text(node)}'")
        text, location = self._source.text(node), self._source.location(node)
        return ConstantTensor(Layer(f"{OPERATION_PREFIX}constant", known, (), text, location))

    def deferred(self, node: ast.AST, function: Callable[..., Any], *operands: Any) -> Deferred:
        """A number that follows from shapes."""
        value = Deferred(function, operands)
        if value.count > MAX_DEFERRED_SIZE:
            raise self.unsupported(node)
        return value

    def unsupported(self, node: ast.AST) -> InputError:
        """The error for code that is not supported."""
        return self._source.error(node, f"'{self._source.text(node)}' in forward() is not supported", SUPPORTED)

    def add(self, layer: Layer, *inputs: Tensor) -> Tensor:
        """Add a run of a layer; returns its output."""
        self.nodes.append(Node(layer, tuple(tensor.node for tensor in inputs)))
        return Tensor(len(self.nodes) - 1)

    def operation(self, name: str, node: ast.AST, *arguments: Any, text: str = "", **keywords: Any) -> Tensor:
        """Add an operation; its inputs are the tensors in front of the other arguments."""
        count = sum(isinstance(argument, Tensor) for argument in arguments)
        if not all(map(follows_from_shapes, (*arguments[count:], *keywords.values()))):
            raise self.unsupported(node)
        layer = Layer(OPERATION_PREFIX + name, tuple(arguments[count:]), tuple(keywords.items()),
                      text or self._source.text(node), self._source.location(node))  # fmt: skip
        return self.add(layer, *arguments[:count])

    def layer(
        self, name: str, node: ast.expr, tensor: Tensor, positional: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Tensor:
        """A layer whose text is its own call, not the function's."""
        if not all(map(follows_from_shapes, (*positional, *keywords.values()))):
            raise self.unsupported(node)
        text, location = call_text(name, positional, keywords), self._source.location(node)
        layer = Layer(name, tuple(positional), tuple(keywords.items()), text, location)
        return self.add(layer, tensor)


def input_tensor() -> Tensor:
    """The input of the network."""
    return Tensor(INPUT)
