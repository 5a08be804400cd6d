"""Layer lists in PyTorch's notation, read with `ast` and never executed."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

from dlnotes_cli.shapes.layer import MOST_WORDS, RESIDUAL, Layer, shortened
from dlnotes_cli.shapes.parsing.constants import NotConstantError, constant
from dlnotes_cli.shell.errors import InputError

_EXAMPLE = "list layers such as Conv2d(3, 10, 3)"
_PREFIXES = {"", "nn", "torch.nn"}
_ANYTHING = {"device", "dtype"}  # arguments that say nothing about shapes, so need not be constants


def parse_layers(text: str, source: str = "") -> tuple[Layer, ...]:
    """Read a layer list: calls separated by `;`, commas or new lines.

    Understood are `nn.` prefixes, `nn.Sequential` at any depth, names given to layers, imports, and a class with an
    `__init__` alone or with a `forward` that is one line from its input to its result. Anything else raises InputError
    with its line, as the order of its layers is not known. `Residual(...)` is ours: its layers, and their input added.
    `source` names the text in errors, with the line; without it the text stands for itself.

    >>> [layer.text for layer in parse_layers("self.c = nn.Conv2d(1, 6, 5); nn.Sequential(nn.ReLU(), Flatten())")]
    ['Conv2d(1, 6, 5)', 'ReLU()', 'Flatten()']
    """
    reader = Reader(text.splitlines(), source)
    try:
        layers = tuple(reader.block(_parsed(text, reader).body))
    except (RecursionError, MemoryError) as error:
        raise InputError(source or "layers", "nested too deeply", _EXAMPLE) from error
    if not layers:
        raise InputError(source or "layers", "no layers", _EXAMPLE)
    return layers


@dataclass(frozen=True)
class Reader:
    """Reads the syntax tree of a layer list and knows the text that it came from."""

    lines: list[str]
    source: str

    def block(self, statements: list[ast.stmt]) -> Iterator[Layer]:
        """Yield the layers of statements one after the other."""
        for statement in statements:
            yield from self.statement(statement)

    def statement(self, node: ast.stmt) -> Iterator[Layer]:
        """Yield the layers of one statement."""
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(ast.Constant(str())):
                return
            case ast.Expr(value) if _is_super_call(value):
                return
            case ast.Expr(value) | ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                yield from self.expression(value)
            case ast.ClassDef(body=body) if any(map(_is_forward, body)):
                from dlnotes_cli.shapes.parsing.forward import forward_layers  # which most lists do without

                yield from forward_layers(self, {part.name: part for part in body if isinstance(part, ast.FunctionDef)})
            case ast.ClassDef(body=body) | ast.FunctionDef(name="__init__", body=body):
                yield from self.block(body)
            case ast.FunctionDef(name=name):
                raise self.error(node, f"the order of layers in {name}() is not read", "list them as they run")
            case _:
                raise self.error(node, f"'{self.text(node)}' is not a layer", _EXAMPLE)

    def expression(self, node: ast.expr) -> Iterator[Layer]:
        """Yield the layers that an expression makes."""
        match node:
            case ast.Tuple(elements) | ast.List(elements):
                for element in elements:
                    yield from self.expression(element)
            case ast.Starred(value):
                yield from self.expression(value)
            case ast.Call(function, positional, keywords) if self.name(function) == "Sequential":
                for argument in (*positional, *(keyword.value for keyword in keywords)):
                    yield from self.member(argument)
            case ast.Call(function, positional, []) if self.name(function) == RESIDUAL:
                inner = tuple(layer for argument in positional for layer in self.member(argument))
                yield Layer(RESIDUAL, inner, text=self.text(node), place=self.place(node))
            case ast.Call(function, positional, keywords):
                yield self.layer(node, self.name(function), positional, keywords)
            case ast.Name() | ast.Attribute():
                yield self.layer(node, self.name(node), [], [])
            case _:
                raise self.error(node, f"'{self.text(node)}' is not a layer", _EXAMPLE)

    def member(self, node: ast.expr) -> Iterator[Layer]:
        """The layers in one argument of `Sequential`, which may be an OrderedDict or its pairs of names and layers."""
        match node:
            case ast.Call(function, [ast.List(pairs) | ast.Tuple(pairs)]) if ast.unparse(function).endswith(
                "OrderedDict"
            ):
                for pair in pairs:
                    if not isinstance(pair, ast.Tuple | ast.List) or len(pair.elts) != 2:  # noqa: PLR2004  # a pair
                        raise self.error(pair, f"'{self.text(pair)}' is not a name and a layer", _EXAMPLE)
                    yield from self.expression(pair.elts[1])
            case ast.Dict(values=values) | ast.Call(args=[ast.Dict(values=values)]):
                for value in values:
                    yield from self.expression(value)
            case _:
                yield from self.expression(node)

    def layer(self, node: ast.expr, name: str, positional: list[ast.expr], keywords: list[ast.keyword]) -> Layer:
        """One layer as written; arguments that are not constants are errors here."""
        values = tuple(self.value(argument) for argument in positional)
        for keyword in keywords:
            if keyword.arg is None:
                raise self.error(keyword.value, f"'**{self.text(keyword.value)}' is not a constant", "write it out")
        named = tuple((str(k.arg), None if k.arg in _ANYTHING else self.value(k.value)) for k in keywords)
        text = self.text(node).removeprefix("torch.").removeprefix("nn.")
        return Layer(name, values, named, text, self.place(node))

    def value(self, node: ast.expr) -> Any:
        """The value of an argument, which must be a constant."""
        try:
            return constant(node)
        except NotConstantError as error:
            raise self.error(node, f"'{self.text(node)}' {error}", "write the number") from error

    def name(self, node: ast.expr) -> str:
        """The name of a layer without its `nn.`; a dotted name of other things is an error."""
        if isinstance(node, ast.Name | ast.Attribute):
            prefix, _, name = ast.unparse(node).rpartition(".")
            if prefix in _PREFIXES:
                return name
        raise self.error(node, f"'{self.text(node)}' is not a layer", _EXAMPLE)

    def text(self, node: ast.AST) -> str:
        """The source of a node on one line."""
        if isinstance(node, ast.expr) and node.end_lineno == node.lineno:
            line = self.lines[node.lineno - 1].encode()
            return line[node.col_offset : node.end_col_offset].decode()
        first = self.lines[getattr(node, "lineno", 1) - 1].strip()
        return ast.unparse(node) if isinstance(node, ast.expr) else first

    def place(self, node: ast.AST) -> str:
        """Where a node stands: the source and the line, or nothing for one line that stands for itself."""
        line = f"line {getattr(node, 'lineno', 1)}" if self.source or len(self.lines) > 1 else ""
        return f"{self.source}, {line}" if self.source else line

    def error(self, node: ast.AST, what: str, fix: str) -> InputError:
        """The error about a node, with its place."""
        return InputError(self.place(node) or shortened(self.lines[0]), shortened(what, MOST_WORDS), fix)


def _parsed(text: str, reader: Reader) -> ast.Module:
    """The syntax tree of a text, or of its lines without indentation, as where the first was copied without its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader.lines[:] = dedent(text).splitlines()
            try:
                return ast.parse("\n".join(reader.lines))
            except IndentationError:
                reader.lines[:] = [line.lstrip() for line in reader.lines]
                return ast.parse("\n".join(reader.lines))
        except SyntaxError as error:
            line = ast.Pass(lineno=min(error.lineno or 1, max(len(reader.lines), 1)))
            raise reader.error(line, f"not a layer list: {error.msg}", _EXAMPLE) from error
        except ValueError as error:
            raise InputError(reader.source or "layers", f"not a layer list: {error}", _EXAMPLE) from error


def _is_super_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith("__init__")


def _is_forward(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "forward"
