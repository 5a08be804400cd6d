"""The graph that a forward() builds: nodes for layers, functions, tensor methods and operators."""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlnotes_cli.shapes.graph import INPUT, MAX_DEFERRED_SIZE, OPERATION_PREFIX, STATE, Deferred, Node, ShapeOf
from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.source_text import SourceText
from dlnotes_cli.shapes.parsing.tensor_functions import (
    ARITHMETIC,
    DROPOUTS,
    ELEMENTWISE,
    LAYER_OF_FUNCTION,
    ON_DIMENSIONS,
    PADS,
    REDUCTIONS,
    SHARED_POSITIONS,
    UNCHANGED,
)
from dlnotes_cli.shapes.parsing.values import Opaque, State, Tensor
from dlnotes_cli.shell.errors import InputError

RECURRENT = {"RNN", "LSTM", "GRU"}
SUPPORTED = (
    "supported are calls of layers, functions of torch and F with a layer's name, + - * /, torch.cat, view, indexing, "
    "and if and for on constants"
)
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)


class TensorGraph:
    """The nodes so far, and how each expression on tensors adds to them."""

    def __init__(self, source: SourceText) -> None:
        self.nodes: list[Node] = []
        self._source = source
        self._functions = self._function_table()

    def _function_table(self) -> dict[str, Callable[..., Any]]:
        """The functions of torch, F and tensors, called with syntax node, name, input, arguments and keywords."""
        return {
            **dict.fromkeys(LAYER_OF_FUNCTION, self._layer_function),
            **dict.fromkeys(DROPOUTS, self._dropout),
            **dict.fromkeys(ELEMENTWISE, self._map),
            **dict.fromkeys(UNCHANGED, self._same),
            **dict.fromkeys(REDUCTIONS, self._reduction),
            **dict.fromkeys(ARITHMETIC, self._join),
            **dict.fromkeys(ON_DIMENSIONS, self._with_dims),
            **dict.fromkeys(("view", "reshape"), self._view),
            "flatten": self._flatten,
            "pad": self._pad,
            "size": self._size,
        }

    def has_function(self, name: str) -> bool:
        """Whether a function of torch or F, or a method of a tensor, is known."""
        return name in self._functions

    def call(self, node: ast.expr, name: str, positional: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """The result of a function whose first argument is a tensor, or of a method with the tensor first."""
        named = dict(keywords)
        values = list(positional) or [named.pop("input", None)]
        if name in {"cat", "concat", "concatenate"}:
            return self._cat(node, values, named)
        if name not in self._functions:
            raise self.unsupported(node)
        return self._functions[name](node, name, self.tensor(values[0], node), values[1:], named)

    def run(self, layer: Layer, tensor: Tensor) -> Any:
        """The result of a layer: for a recurrent one, a pair of output and state."""
        output = self._add(layer, tensor)
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
            self._operation("return", node, output, text="return")
        return tuple(self.nodes)

    def tensor(self, value: Any, node: ast.AST) -> Tensor:
        """A value as a tensor of the graph; raises InputError for other values."""
        if isinstance(value, State):
            return self._add(Layer(STATE, (value.index,), text="state", location=self._source.location(node)),
                             Tensor(value.node))  # fmt: skip
        if isinstance(value, Tensor):
            return value
        text = self._source.text(node)
        if isinstance(value, tuple) and value and isinstance(value[0], Tensor):
            what = f"'{text}' in forward() passes on a pair of output and state"
            raise self._source.error(node, what, "take the output first, as in x, _ = self.lstm(x)")
        if isinstance(value, Opaque):
            what = f"'{text}' in forward() needs the size of {value.name}, and --input is that of one input"
            raise self._source.error(node, what, "use code that needs only the first input")
        raise self.unsupported(node)

    def binary(self, node: ast.expr, operator: ast.operator, left: Any, right: Any, *, is_inplace: bool = False) -> Any:
        """The sum, difference, product or quotient of tensors and numbers."""
        if not isinstance(operator, _OPERATORS):
            raise self.unsupported(node)
        return self._joined(node, left, right, is_inplace=is_inplace)

    def indexed(self, node: ast.expr, value: Any, items: tuple[Any, ...]) -> Any:
        """`x[items]`; raises InputError for an index that is no number, slice, None or `...`."""
        if isinstance(value, State) or all(isinstance(i, int | slice | type(None) | type(Ellipsis)) for i in items):
            return self._operation("index", node, self.tensor(value, node), *items)
        raise self.unsupported(node)

    def deferred(self, node: ast.AST, function: Callable[..., Any], *operands: Any) -> Deferred:
        """A number that follows from shapes."""
        value = Deferred(function, operands)
        if value.count > MAX_DEFERRED_SIZE:
            raise self.unsupported(node)
        return value

    def unsupported(self, node: ast.AST) -> InputError:
        """The error for code that is not supported."""
        return self._source.error(node, f"'{self._source.text(node)}' in forward() is not supported", SUPPORTED)

    def _add(self, layer: Layer, *inputs: Tensor) -> Tensor:
        self.nodes.append(Node(layer, tuple(tensor.node for tensor in inputs)))
        return Tensor(len(self.nodes) - 1)

    def _operation(self, name: str, node: ast.AST, *arguments: Any, text: str = "", **keywords: Any) -> Tensor:
        """Add an operation; its inputs are the tensors in front of the other arguments."""
        count = sum(isinstance(argument, Tensor) for argument in arguments)
        layer = Layer(OPERATION_PREFIX + name, tuple(arguments[count:]), tuple(keywords.items()),
                      text or self._source.text(node), self._source.location(node))  # fmt: skip
        return self._add(layer, *arguments[:count])

    def _layer(
        self, name: str, node: ast.expr, tensor: Tensor, positional: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Tensor:
        """A layer whose text is its own call, not the function's."""
        arguments = [*map(argument_text, positional), *(f"{k}={argument_text(v)}" for k, v in keywords.items())]
        text = f"{name}({', '.join(arguments)})"
        layer = Layer(name, tuple(positional), tuple(keywords.items()), text, self._source.location(node))
        return self._add(layer, tensor)

    def _layer_function(
        self, node: ast.expr, name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]
    ) -> Any:
        if len(positional) > SHARED_POSITIONS:
            raise self.unsupported(node)
        known = {key: value for key, value in keywords.items() if key not in {"antialias", "_stacklevel", "dtype"}}
        return self._layer(LAYER_OF_FUNCTION[name], node, tensor, positional, known)

    def _dropout(
        self, node: ast.expr, name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]
    ) -> Any:
        known = {key: value for key, value in keywords.items() if key == "p"}
        return self._layer(DROPOUTS[name], node, tensor, positional[:1], known)

    def _pad(self, node: ast.expr, _name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]) -> Any:
        pad, mode, value = (*positional, *(None,) * 3)[:3]
        amounts, kind = keywords.get("pad", pad), keywords.get("mode", mode) or "constant"
        if not isinstance(amounts, tuple | list) or kind not in PADS or value not in {None, 0}:
            raise self.unsupported(node)
        extra = (0.0,) if kind == "constant" else ()
        return self._layer(f"{PADS[kind]}Pad{max(len(amounts) // 2, 1)}d", node, tensor, [tuple(amounts), *extra], {})

    def _flatten(
        self, node: ast.expr, _name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]
    ) -> Any:
        has_start = positional or "start_dim" in keywords  # nn.Flatten starts at dimension 1, the function at 0
        return self._layer("Flatten", node, tensor, positional if has_start else [0], keywords)

    def _view(self, node: ast.expr, name: str, tensor: Tensor, positional: list[Any], _keywords: dict[str, Any]) -> Any:
        single = positional[0] if len(positional) == 1 else None
        sizes = list(single) if isinstance(single, tuple | list) else positional
        if sizes and isinstance(sizes[0], int) and sizes[0] != -1:
            what = f"'{self._source.text(node)}' in forward() fixes the size of the batch"
            raise self._source.error(node, what, "start with -1 or x.size(0)")
        columns = sizes[1] if len(sizes) == 2 else None  # noqa: PLR2004  # one row for each sample
        own_batch = Deferred(tuple.__getitem__, (ShapeOf(tensor.node), 0))
        if not isinstance(columns, int) or (columns == -1 and sizes[0] == -1) or sizes[0] not in (-1, own_batch):
            return self._operation("view", node, tensor, *(sizes if single is None else [single]))
        output = None if columns == -1 else (columns,)
        text = f"{name}({', '.join(ast.unparse(one) for one in getattr(node, 'args', [])[-2:])})"
        layer = Layer("Flatten", text=text, location=self._source.location(node), expected_output=output)
        return self._add(layer, tensor)

    def _size(
        self, node: ast.expr, _name: str, tensor: Tensor, positional: list[Any], _keywords: dict[str, Any]
    ) -> Any:
        shape = ShapeOf(tensor.node)
        return self.deferred(node, tuple.__getitem__, shape, positional[0]) if positional else shape

    def _map(self, node: ast.expr, *call: Any) -> Any:
        return self._operation("map", node, call[1])

    def _same(self, _node: ast.expr, *call: Any) -> Any:
        return call[1]

    def _reduction(
        self, node: ast.expr, _name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]
    ) -> Any:
        known = {key: value for key, value in keywords.items() if key in {"dim", "keepdim"}}
        known |= dict(zip(("dim", "keepdim"), positional, strict=False))
        return self._operation("reduce", node, tensor, **known)

    def _with_dims(
        self, node: ast.expr, name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]
    ) -> Any:
        return self._operation(name, node, tensor, *positional, *keywords.values())

    def _join(self, node: ast.expr, name: str, tensor: Tensor, positional: list[Any], _keywords: dict[str, Any]) -> Any:
        if len(positional) != 1:
            raise self.unsupported(node)
        return self._joined(node, tensor, positional[0], is_inplace=name.endswith("_"))

    def _joined(self, node: ast.expr, left: Any, right: Any, *, is_inplace: bool) -> Any:
        tensors = [self.tensor(value, node) for value in (left, right) if not isinstance(value, int | float | Deferred)]
        return self._operation("broadcast", node, *tensors, is_inplace=is_inplace)

    def _cat(self, node: ast.expr, positional: list[Any], keywords: dict[str, Any]) -> Any:
        parts = positional[0] if positional[0] is not None else keywords.get("tensors")
        if not isinstance(parts, tuple | list) or not parts:
            raise self.unsupported(node)
        dim = positional[1] if len(positional) > 1 else keywords.get("dim", keywords.get("axis", 0))
        return self._operation("cat", node, *(self.tensor(part, node) for part in parts), dim)


def argument_text(value: Any) -> str:
    """The text of an argument; of a size that follows from the input, a question mark."""
    if isinstance(value, tuple | list):
        items = ", ".join(map(argument_text, value))
        return f"[{items}]" if isinstance(value, list) else f"({items}{',' * (len(value) == 1)})"
    return "?" if isinstance(value, Deferred | ShapeOf) else repr(value)


def input_tensor() -> Tensor:
    """The input of the network."""
    return Tensor(INPUT)


def with_arguments(layer: Layer, name: str) -> Layer:
    """A layer with its arguments as values in its text, for calls whose arguments are variables."""
    arguments = [*map(argument_text, layer.positional), *(f"{k}={argument_text(v)}" for k, v in layer.keywords)]
    return replace(layer, text=f"{name}({', '.join(arguments)})")
