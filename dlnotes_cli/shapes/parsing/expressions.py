"""Layer calls in PyTorch's notation: from expressions of Python's syntax tree to layers, without executing code."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dlnotes_cli.shapes.layer import MAX_ERROR_CHARS, RESIDUAL, Layer, truncate
from dlnotes_cli.shapes.parsing.constants import NotConstantError, constant
from dlnotes_cli.shell.errors import InputError

EXAMPLE = "list layers such as Conv2d(3, 10, 3)"
_PREFIXES = {"", "nn", "torch.nn"}
_UNREAD_ARGUMENTS = {"device", "dtype"}  # they do not change shapes, so they need not be constants


@dataclass(frozen=True)
class ExpressionParser:
    """Parses the expressions of a layer list; keeps its lines, so that errors can quote them.

    `source` is the file in errors; without one, the error about a single line quotes it.
    """

    lines: list[str]
    source: str

    def layers(self, node: ast.expr) -> Iterator[Layer]:
        """Yield the layers of an expression; raises InputError with its line where it is not one of layers."""
        match node:
            case ast.Tuple(elements) | ast.List(elements):
                for element in elements:
                    yield from self.layers(element)
            case ast.Starred(value):
                yield from self.layers(value)
            case ast.Call(function, positional, keywords) if self.layer_name(function) == "Sequential":
                for argument in (*positional, *(keyword.value for keyword in keywords)):
                    yield from self._members(argument)
            case ast.Call(function, positional, []) if self.layer_name(function) == RESIDUAL:
                inner = tuple(layer for argument in positional for layer in self._members(argument))
                yield Layer(RESIDUAL, inner, text=self.text(node), location=self.location(node))
            case ast.Call(function, positional, keywords):
                yield self.layer(node, self.layer_name(function), positional, keywords)
            case ast.Name() | ast.Attribute():
                yield self.layer(node, self.layer_name(node), [], [])
            case _:
                raise self.error(node, f"'{self.text(node)}' is not a layer", EXAMPLE)

    def _members(self, node: ast.expr) -> Iterator[Layer]:
        """The layers in one argument of `Sequential`, which may be an OrderedDict or a list of (name, layer) pairs."""
        match node:
            case ast.Call(function, [ast.List(pairs) | ast.Tuple(pairs)]) if ast.unparse(function).endswith(
                "OrderedDict"
            ):
                for pair in pairs:
                    if not isinstance(pair, ast.Tuple | ast.List) or len(pair.elts) != 2:  # noqa: PLR2004  # a pair
                        raise self.error(pair, f"'{self.text(pair)}' is not a name and a layer", EXAMPLE)
                    yield from self.layers(pair.elts[1])
            case ast.Dict(values=values) | ast.Call(args=[ast.Dict(values=values)]):
                for value in values:
                    yield from self.layers(value)
            case _:
                yield from self.layers(node)

    def layer(self, node: ast.expr, name: str, positional: list[ast.expr], keywords: list[ast.keyword]) -> Layer:
        """One layer; raises InputError for arguments that are not constants."""
        values = tuple(self._value(argument) for argument in positional)
        for keyword in keywords:
            if keyword.arg is None:
                what = f"'**{self.text(keyword.value)}' is not a constant"
                raise self.error(keyword.value, what, "write the arguments")
        named = tuple((str(k.arg), None if k.arg in _UNREAD_ARGUMENTS else self._value(k.value)) for k in keywords)
        text = self.text(node).removeprefix("torch.").removeprefix("nn.")
        return Layer(name, values, named, text, self.location(node))

    def _value(self, node: ast.expr) -> Any:
        try:
            return constant(node)
        except NotConstantError as error:
            raise self.error(node, f"'{self.text(node)}' {error}", "write the number") from error

    def layer_name(self, node: ast.expr) -> str:
        """The name of a layer without its `nn.`; raises InputError for other names with dots."""
        if isinstance(node, ast.Name | ast.Attribute):
            prefix, _, name = ast.unparse(node).rpartition(".")
            if prefix in _PREFIXES:
                return name
        raise self.error(node, f"'{self.text(node)}' is not a layer", EXAMPLE)

    def text(self, node: ast.AST) -> str:
        """The source text of a node on one line."""
        if isinstance(node, ast.expr) and node.end_lineno == node.lineno:
            line = self.lines[node.lineno - 1].encode()
            return line[node.col_offset : node.end_col_offset].decode()
        first = self.lines[getattr(node, "lineno", 1) - 1].strip()
        return ast.unparse(node) if isinstance(node, ast.expr) else first

    def location(self, node: ast.AST) -> str:
        """The source and line of a node, "" for a single line without a source."""
        line = f"line {getattr(node, 'lineno', 1)}" if self.source or len(self.lines) > 1 else ""
        return f"{self.source}, {line}" if self.source else line

    def error(self, node: ast.AST, what: str, fix: str) -> InputError:
        """The error about a node, with its location."""
        return InputError(self.location(node) or truncate(self.lines[0]), truncate(what, MAX_ERROR_CHARS), fix)
