"""Layer calls in PyTorch's notation: from expressions of Python's syntax tree to layers, without executing code."""

import ast
import operator
from collections.abc import Callable, Iterator
from typing import Any

from dlnotes_cli.shapes.layer import MAX_ERROR_CHARS, RESIDUAL, Layer, truncate
from dlnotes_cli.shell.errors import InputError

EXAMPLE = "list layers such as Conv2d(3, 10, 3)"
_PREFIXES = {"", "nn", "torch.nn"}
_UNREAD_ARGUMENTS = {"device", "dtype"}  # they do not change shapes, so they need not be constants
_MAX_INTEGER = 2**200  # of intermediate results; the arguments of a layer must fit in 64 bits


class SourceText:
    """Lines of code and the name of their file; without a name, the error about a single line quotes it."""

    def __init__(self, lines: list[str], file: str = "") -> None:
        self.lines = lines
        self.file = file

    def text(self, node: ast.AST) -> str:
        """The source text of a node on one line."""
        if isinstance(node, ast.expr) and node.end_lineno == node.lineno:
            line = self.lines[node.lineno - 1].encode()
            return line[node.col_offset : node.end_col_offset].decode()
        first = self.lines[getattr(node, "lineno", 1) - 1].strip()
        return ast.unparse(node) if isinstance(node, ast.expr) else first

    def location(self, node: ast.AST) -> str:
        """The file and line of a node, "" for a single line without a file."""
        line = f"line {getattr(node, 'lineno', 1)}" if self.file or len(self.lines) > 1 else ""
        return f"{self.file}, {line}" if self.file else line

    def error(self, node: ast.AST, what: str, fix: str) -> InputError:
        """The error about a node, with its location."""
        return InputError(self.location(node) or truncate(self.lines[0]), truncate(what, MAX_ERROR_CHARS), fix)


def layers_of(node: ast.expr, source: SourceText) -> Iterator[Layer]:
    """Yield the layers of an expression; raises InputError with its line where it is not one of layers."""
    match node:
        case ast.Tuple(elements) | ast.List(elements):
            for element in elements:
                yield from layers_of(element, source)
        case ast.Starred(value):
            yield from layers_of(value, source)
        case ast.Call(function, positional, keywords) if _layer_name(function, source) == "Sequential":
            for argument in (*positional, *(keyword.value for keyword in keywords)):
                yield from _members(argument, source)
        case ast.Call(function, positional, []) if _layer_name(function, source) == RESIDUAL:
            inner = tuple(layer for argument in positional for layer in _members(argument, source))
            yield Layer(RESIDUAL, inner, text=source.text(node), location=source.location(node))
        case ast.Call(function):
            yield layer_of_call(node, _layer_name(function, source), source)
        case ast.Name() | ast.Attribute():
            text = layer_text(node, source)
            yield Layer(_layer_name(node, source), text=text, location=source.location(node))
        case _:
            raise source.error(node, f"'{source.text(node)}' is not a layer", EXAMPLE)


def layer_of_call(node: ast.Call, name: str, source: SourceText) -> Layer:
    """The layer that a call makes; raises InputError for arguments that are not constants."""
    values = tuple(_constant(argument, source) for argument in node.args)
    for keyword in node.keywords:
        if keyword.arg is None:
            what = f"'**{source.text(keyword.value)}' is not a constant"
            raise source.error(keyword.value, what, "write the arguments")
    named = tuple(
        (str(one.arg), None if one.arg in _UNREAD_ARGUMENTS else _constant(one.value, source)) for one in node.keywords
    )
    return Layer(name, values, named, layer_text(node, source), source.location(node))


def layer_text(node: ast.expr, source: SourceText) -> str:
    """The text of a layer without the names of modules in front."""
    return source.text(node).removeprefix("torch.").removeprefix("nn.")


def _members(node: ast.expr, source: SourceText) -> Iterator[Layer]:
    """The layers in one argument of `Sequential`, which may be an OrderedDict or a list of (name, layer) pairs."""
    match node:
        case ast.Call(function, [ast.List(pairs) | ast.Tuple(pairs)]) if ast.unparse(function).endswith("OrderedDict"):
            for pair in pairs:
                if not isinstance(pair, ast.Tuple | ast.List) or len(pair.elts) != 2:  # noqa: PLR2004  # a pair
                    raise source.error(pair, f"'{source.text(pair)}' is not a name and a layer", EXAMPLE)
                yield from layers_of(pair.elts[1], source)
        case ast.Dict(values=values) | ast.Call(args=[ast.Dict(values=values)]):
            for value in values:
                yield from layers_of(value, source)
        case _:
            yield from layers_of(node, source)


def _layer_name(node: ast.expr, source: SourceText) -> str:
    """The name of a layer without its `nn.`; raises InputError for other names with dots."""
    if isinstance(node, ast.Name | ast.Attribute):
        prefix, _, name = ast.unparse(node).rpartition(".")
        if prefix in _PREFIXES:
            return name
    raise source.error(node, f"'{source.text(node)}' is not a layer", EXAMPLE)


def _constant(node: ast.expr, source: SourceText) -> Any:
    try:
        return constant(node)
    except NotConstantError as error:
        raise source.error(node, f"'{source.text(node)}' {error}", "write the number") from error


class NotConstantError(ValueError):
    """An expression that is not a constant."""


def constant(node: ast.expr) -> Any:
    """The value of a literal, of a tuple or list of literals, or of arithmetic on numbers.

    Raises NotConstantError for names, calls and everything else that would have to be executed, and for integers beyond
    2**200.

    >>> constant(ast.parse("(16 * 5 * 5, 'same', -1)", mode="eval").body)
    (400, 'same', -1)
    """
    match node:
        case ast.Constant(int() | float() | str() | None as value):
            return _bounded(value)
        case ast.Tuple(elements):
            return tuple(map(constant, elements))
        case ast.List(elements):
            return list(map(constant, elements))
        case ast.UnaryOp(operation, operand) if type(operation) in _OPERATORS:
            return _computed(operation, constant(operand))
        case ast.BinOp(left, operation, right) if type(operation) in _OPERATORS:
            return _computed(operation, constant(left), constant(right))
        case ast.Call(ast.Name("float"), [ast.Constant("inf" | "-inf" as value)], []):
            return float(value)
        case _:
            raise NotConstantError("is not a constant")


def _computed(operation: ast.operator | ast.unaryop, *numbers: Any) -> Any:
    if not all(isinstance(number, int | float) for number in numbers):
        raise NotConstantError("is not arithmetic on numbers")
    try:
        return _bounded(_OPERATORS[type(operation)](*numbers))
    except (ZeroDivisionError, OverflowError) as error:
        raise NotConstantError(f"cannot be computed ({error})") from error


def _power(base: float, exponent: float) -> Any:
    if isinstance(base, int) and base.bit_length() * abs(exponent) > _MAX_INTEGER.bit_length():
        raise NotConstantError("is too large")
    return base**exponent


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > _MAX_INTEGER:
        raise NotConstantError("is too large")
    if isinstance(value, complex):  # a root of a negative number
        raise NotConstantError("is not a real number")
    return value


_OPERATORS: dict[type[ast.operator | ast.unaryop], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
