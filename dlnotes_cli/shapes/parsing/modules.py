"""Making layers and containers of modules, and the methods of containers."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dlnotes_cli.shapes.layer import RESIDUAL, Layer
from dlnotes_cli.shapes.parsing.call_text import with_values
from dlnotes_cli.shapes.parsing.evaluation import Evaluator
from dlnotes_cli.shapes.parsing.layer_calls import layer_text
from dlnotes_cli.shapes.parsing.values import Container, contents, is_module, is_plain
from dlnotes_cli.shapes.rules.layer_types import layer_types


def made_layer(
    evaluation: Evaluator, node: ast.Call, name: str, positional: Sequence[Any], keywords: Mapping[str, Any]
) -> Layer:
    """The layer that a call makes; raises InputError for arguments that are modules or follow from the input."""
    source = evaluation.source
    if name == RESIDUAL:
        inner = tuple(_leaves(evaluation, node, positional))
        return Layer(name, inner, text=source.text(node), location=source.location(node))
    evaluation.check_size(node, *positional, *keywords.values())
    if name not in layer_types():
        raise source.error(node, f"'{name}' is not a layer that is known", "dlnotes conv-shape --help lists them")
    if not all(map(is_plain, (*positional, *keywords.values()))):
        raise source.error(node, f"'{source.text(node)}' has an argument without a value", "write the number")
    layer = Layer(name, tuple(positional), tuple(keywords.items()), layer_text(node, source), source.location(node))
    arguments = (*node.args, *(keyword.value for keyword in node.keywords))
    has_names = any(isinstance(one, ast.Name | ast.Starred) for argument in arguments for one in ast.walk(argument))
    return with_values(layer, name) if has_names else layer


def made_container(evaluation: Evaluator, node: ast.AST, kind: str, positional: Sequence[Any]) -> Container:
    """A `Sequential`, `ModuleList` or `ModuleDict` of modules, numbered where they have no names."""
    first = positional[0] if len(positional) == 1 else None
    if isinstance(first, dict):
        children = dict(first)
    elif isinstance(first, list | tuple) and kind != "Sequential":
        children = dict(pairs(evaluation, node, first)) if kind == "ModuleDict" else _numbered(first)
    else:
        children = _numbered(positional)
    if not all(map(is_module, children.values())):
        raise evaluation.unsupported(node)
    return Container(kind, children)


def pairs(evaluation: Evaluator, node: ast.AST, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and modules of a dictionary, or of a list of pairs."""
    if isinstance(value, dict):
        yield from value.items()
        return
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2:  # noqa: PLR2004  # a name and a module
            raise evaluation.unsupported(node)
        yield str(pair[0]), pair[1]


def child(evaluation: Evaluator, node: ast.expr, owner: Container, index: Any) -> Any:
    """`owner[index]`: a module by number or name, or a container of some of them."""
    try:
        if isinstance(index, slice):
            return Container(owner.kind, dict(list(owner.children.items())[index]))
        return owner.children[index] if isinstance(index, str) else list(owner.children.values())[index]
    except (LookupError, TypeError) as error:
        raise evaluation.unsupported(node) from error


def call_container_method(
    evaluation: Evaluator, node: ast.Call, owner: Container, name: str, positional: Sequence[Any]
) -> Any:
    """`append`, `extend`, `add_module`, `items`, `values` or `keys` of a container."""
    if name in {"items", "values", "keys"}:
        return list(getattr(owner.children, name)())
    if name == "add_module":
        owner.children[positional[0]] = positional[1]
        return None
    for module in [positional[0]] if name == "append" else contents(positional[0]):
        owner.children[str(len(owner.children))] = module
        evaluation.count_step(node)
    return None


def _leaves(evaluation: Evaluator, node: ast.Call, values: Sequence[Any]) -> Iterator[Layer]:
    """The layers of a Residual, those of Sequential inside it too."""
    for value in values:
        if isinstance(value, Container):
            yield from _leaves(evaluation, node, list(value.children.values()))
        elif isinstance(value, Layer):
            yield value
        else:
            raise evaluation.unsupported(node)


def _numbered(modules: Sequence[Any]) -> dict[str, Any]:
    return {str(index): module for index, module in enumerate(modules)}
