"""Layer calls in PyTorch's notation: from expressions of Python's syntax tree to layers, without executing code."""

import ast
from collections.abc import Iterator
from typing import Any

from dlnotes_cli.shapes.layer import RESIDUAL, Layer
from dlnotes_cli.shapes.parsing.constants import NotConstantError, constant
from dlnotes_cli.shapes.parsing.source_text import EXAMPLE, SourceText

_PREFIXES = {"", "nn", "torch.nn"}
_UNREAD_ARGUMENTS = {"device", "dtype"}  # they do not change shapes, so they need not be constants


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
