"""Functions of Python that pasted code may call: on numbers, lists, and sizes that follow from the input."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlnotes_cli.shapes.deferred import Deferred, ShapeOf
from dlnotes_cli.shapes.parsing.attributes import instance_attribute
from dlnotes_cli.shapes.parsing.evaluation import MAX_ITEMS, Evaluator
from dlnotes_cli.shapes.parsing.values import UNKNOWN, Container, Instance, Opaque, Tensor

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "range": range, "len": len, "int": int, "float": float, "list": list, "tuple": tuple, "enumerate": enumerate,
    "zip": zip, "max": max, "min": min, "sum": sum, "reversed": reversed, "abs": abs, "bool": bool, "str": str,
    "round": round, "dict": dict, "all": all, "any": any,
}  # fmt: skip
_OF_SIZES = {"int", "max", "min", "round"}  # functions whose result follows from shapes


def call_python(  # noqa: PLR0911  # one for each kind of function
    evaluation: Evaluator, node: ast.Call, name: str, positional: Sequence[Any], keywords: Mapping[str, Any]
) -> Any:
    """The result of a function of Python; Opaque where it needs a value that is not known."""
    first = positional[0] if positional else None
    if name in {"getattr", "setattr"} and len(positional) > 1 and isinstance(first, Instance):
        return _attribute_by_name(evaluation, node, name, first, positional[1:])
    if name in {"next", "iter"} and isinstance(first, Opaque):
        return first
    if name == "hasattr" and isinstance(first, Instance):
        return positional[1] in first.attributes
    if name not in _FUNCTIONS:
        raise evaluation.unsupported(node)
    if any(isinstance(value, Deferred | ShapeOf) for value in positional) and name in _OF_SIZES:
        return evaluation.graph.deferred(node, _FUNCTIONS[name], *positional)
    if isinstance(first, Tensor) and name == "len":
        return evaluation.graph.deferred(node, len, ShapeOf(first.node))
    if any(isinstance(value, UNKNOWN) for value in positional):
        return evaluation.opaque(node)
    return _computed(evaluation, node, name, positional, keywords)


def _computed(
    evaluation: Evaluator, node: ast.Call, name: str, positional: Sequence[Any], keywords: Mapping[str, Any]
) -> Any:
    evaluation.check_size(node, *positional)
    items = [list(value.children.values()) if isinstance(value, Container) else value for value in positional]
    if any(isinstance(one, range) and len(one) > MAX_ITEMS for one in items) and name != "len":
        raise evaluation.too_long(node)
    try:
        return _FUNCTIONS[name](*items, **keywords)
    except (TypeError, ValueError, OverflowError) as error:
        raise evaluation.unsupported(node) from error


def _attribute_by_name(
    evaluation: Evaluator, node: ast.Call, name: str, owner: Instance, arguments: Sequence[Any]
) -> Any:
    if name == "getattr":
        return instance_attribute(evaluation, node, owner, arguments[0])
    owner.set(arguments[0], arguments[1])
    return None
