"""Functions of tensors in a forward(): of torch, of torch.nn.functional, methods, operators and indexing."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlnotes_cli.shapes.deferred import Deferred, ShapeOf
from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.source_text import SourceText
from dlnotes_cli.shapes.parsing.tensor_functions import (
    ARITHMETIC,
    DROPOUTS,
    ELEMENTWISE,
    JOINS,
    LAYER_OF_FUNCTION,
    ON_DIMENSIONS,
    PADS,
    PARTS,
    PRODUCTS,
    REDUCTIONS,
    SHARED_POSITIONS,
    UNCHANGED,
)
from dlnotes_cli.shapes.parsing.tensor_graph import TensorGraph
from dlnotes_cli.shapes.parsing.values import ConstantTensor, Opaque, Parts, State, Tensor

_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)


class TensorCalls:
    """The results of functions, methods and operators on tensors, which are added to a graph."""

    def __init__(self, graph: TensorGraph, source: SourceText) -> None:
        self._graph = graph
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
            **dict.fromkeys(PRODUCTS, self._product),
            **dict.fromkeys(PARTS, self._parts),
            **dict.fromkeys(("max", "min", "maximum", "minimum"), self._extremum),
            "expand_as": self._expand_as,
            "flatten": self._flatten,
            "pad": self._pad,
            "size": self._size,
        }

    def has_function(self, name: str) -> bool:
        """Whether a function of torch or F, or a method of a tensor, is known."""
        return name in self._functions or name in JOINS

    def call(self, node: ast.expr, name: str, positional: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """The result of a function whose first argument is a tensor, or of a method with the tensor first."""
        named = dict(keywords)
        values = list(positional) or [named.pop("input", None)]
        if name in JOINS:
            return self._joined_along(node, "stack" if name == "stack" else "cat", values, named)
        if name not in self._functions:
            raise self._graph.unsupported(node)
        return self._functions[name](node, name, self._graph.tensor(values[0], node), values[1:], named)

    def binary(self, node: ast.expr, operator: ast.operator, left: Any, right: Any, *, is_inplace: bool = False) -> Any:
        """The sum, difference, product or quotient of tensors and numbers."""
        if isinstance(operator, ast.MatMult):
            return self._product(node, "matmul", self._graph.tensor(left, node), [right], {})
        if not isinstance(operator, _OPERATORS):
            raise self._graph.unsupported(node)
        return self._joined(node, left, right, is_inplace=is_inplace)

    def indexed(self, node: ast.expr, value: Any, items: tuple[Any, ...]) -> Any:
        """`x[items]`; raises InputError for an index that is no number, slice, None or `...`."""
        if isinstance(value, State) or all(isinstance(i, int | slice | type(None) | type(Ellipsis)) for i in items):
            return self._graph.operation("index", node, self._graph.tensor(value, node), *items)
        raise self._graph.unsupported(node)

    def part(self, node: ast.expr, parts: Parts, index: int, count: int | None) -> Tensor:
        """One part of a tensor; with `count`, tracing raises an error where there are more or fewer."""
        return self._graph.operation("part", node, parts.tensor, parts.function, parts.size, parts.dim, index, count)

    def _layer_function(
        self, node: ast.expr, name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]
    ) -> Any:
        if len(positional) > SHARED_POSITIONS:
            raise self._graph.unsupported(node)
        known = {key: value for key, value in keywords.items() if key not in {"antialias", "_stacklevel", "dtype"}}
        return self._graph.layer(LAYER_OF_FUNCTION[name], node, tensor, positional, known)

    def _dropout(
        self, node: ast.expr, name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]
    ) -> Any:
        known = {key: value for key, value in keywords.items() if key == "p"}
        return self._graph.layer(DROPOUTS[name], node, tensor, positional[:1], known)

    def _pad(self, node: ast.expr, _name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]) -> Any:
        pad, mode, value = (*positional, *(None,) * 3)[:3]
        amounts, kind = keywords.get("pad", pad), keywords.get("mode", mode) or "constant"
        if not isinstance(amounts, tuple | list) or kind not in PADS or value not in {None, 0}:
            raise self._graph.unsupported(node)
        extra = (0.0,) if kind == "constant" else ()
        return self._graph.layer(
            f"{PADS[kind]}Pad{max(len(amounts) // 2, 1)}d", node, tensor, [tuple(amounts), *extra], {}
        )

    def _flatten(
        self, node: ast.expr, _name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]
    ) -> Any:
        has_start = positional or "start_dim" in keywords  # nn.Flatten starts at dimension 1, the function at 0
        return self._graph.layer("Flatten", node, tensor, positional if has_start else [0], keywords)

    def _view(self, node: ast.expr, name: str, tensor: Tensor, positional: list[Any], _keywords: dict[str, Any]) -> Any:
        single = positional[0] if len(positional) == 1 else None
        sizes = list(single) if isinstance(single, tuple | list) else positional
        if sizes and isinstance(sizes[0], int) and sizes[0] != -1:
            what = f"'{self._source.text(node)}' in forward() fixes the size of the batch"
            raise self._source.error(node, what, "start with -1 or x.size(0)")
        columns = sizes[1] if len(sizes) == 2 else None  # noqa: PLR2004  # one row for each sample
        own_batch = Deferred(tuple.__getitem__, (ShapeOf(tensor.node), 0))
        if not isinstance(columns, int) or (columns == -1 and sizes[0] == -1) or sizes[0] not in (-1, own_batch):
            return self._graph.operation("view", node, tensor, *(sizes if single is None else [single]))
        output = None if columns == -1 else (columns,)
        text = f"{name}({', '.join(ast.unparse(one) for one in getattr(node, 'args', [])[-2:])})"
        layer = Layer("Flatten", text=text, location=self._source.location(node), expected_output=output)
        return self._graph.add(layer, tensor)

    def _size(
        self, node: ast.expr, _name: str, tensor: Tensor, positional: list[Any], _keywords: dict[str, Any]
    ) -> Any:
        shape = ShapeOf(tensor.node)
        return self._graph.deferred(node, tuple.__getitem__, shape, positional[0]) if positional else shape

    def _map(self, node: ast.expr, *call: Any) -> Any:
        return self._graph.operation("map", node, call[1])

    def _same(self, _node: ast.expr, *call: Any) -> Any:
        return call[1]

    def _reduction(
        self, node: ast.expr, _name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]
    ) -> Any:
        known = {key: value for key, value in keywords.items() if key in {"dim", "keepdim"}}
        known |= dict(zip(("dim", "keepdim"), positional, strict=False))
        return self._graph.operation("reduce", node, tensor, **known)

    def _with_dims(
        self, node: ast.expr, name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]
    ) -> Any:
        return self._graph.operation(name, node, tensor, *positional, *keywords.values())

    def _join(self, node: ast.expr, name: str, tensor: Tensor, positional: list[Any], _keywords: dict[str, Any]) -> Any:
        if len(positional) != 1:
            raise self._graph.unsupported(node)
        return self._joined(node, tensor, positional[0], is_inplace=name.endswith("_"))

    def _joined(self, node: ast.expr, left: Any, right: Any, *, is_inplace: bool) -> Any:
        tensors = [
            self._graph.tensor(value, node) for value in (left, right) if not isinstance(value, int | float | Deferred)
        ]
        return self._graph.operation("broadcast", node, *tensors, is_inplace=is_inplace)

    def _product(self, node: ast.expr, _name: str, tensor: Tensor, positional: list[Any], _keywords: Any) -> Any:
        if len(positional) != 1:
            raise self._graph.unsupported(node)
        return self._graph.operation("matmul", node, tensor, self._graph.tensor(positional[0], node))

    def _expand_as(self, node: ast.expr, _name: str, tensor: Tensor, positional: list[Any], _keywords: Any) -> Any:
        other = self._graph.tensor(positional[0], node) if positional else tensor
        return self._graph.operation("expand", node, tensor, ShapeOf(other.node))

    def _extremum(
        self, node: ast.expr, name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]
    ) -> Any:
        """The larger of two tensors; along a dimension, a pair of values and indices."""
        other = positional[0] if positional else keywords.get("other")
        if isinstance(other, Tensor | State | ConstantTensor):
            return self._joined(node, tensor, other, is_inplace=False)
        return self._reduction(node, name, tensor, positional, keywords), Opaque("the indices of a maximum or minimum")

    def _parts(
        self, node: ast.expr, name: str, tensor: Tensor, positional: list[Any], keywords: dict[str, Any]
    ) -> Parts:
        arguments = [*positional, *(keywords[one] for one in ("chunks", "split_size_or_sections") if one in keywords)]
        if name == "unbind":
            arguments.insert(0, 1)
        size, dim = (*arguments, keywords.get("dim", 0))[:2] if arguments else (None, 0)
        size = tuple(size) if isinstance(size, tuple | list) else size
        if not isinstance(size, int | tuple) or not isinstance(dim, int):
            raise self._graph.unsupported(node)
        count = len(size) if isinstance(size, tuple) else size if name == "chunk" else None
        return Parts(tensor, name, size, dim, count)

    def _joined_along(self, node: ast.expr, name: str, positional: list[Any], keywords: dict[str, Any]) -> Any:
        """`torch.cat` and `torch.stack`."""
        parts = positional[0] if positional[0] is not None else keywords.get("tensors")
        if not isinstance(parts, tuple | list) or not parts:
            raise self._graph.unsupported(node)
        dim = positional[1] if len(positional) > 1 else keywords.get("dim", keywords.get("axis", 0))
        return self._graph.operation(name, node, *(self._graph.tensor(part, node) for part in parts), dim)
