"""Attributes of values: of modules, layers, tensors, and names with dots."""

import ast
from typing import Any

from dlnotes_cli.shapes.graph import ShapeOf
from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.evaluation import Evaluation
from dlnotes_cli.shapes.parsing.tensor_graph import SUPPORTED
from dlnotes_cli.shapes.parsing.values import (
    INSPECTIONS,
    REGISTRATIONS,
    RETURN_SELF,
    External,
    Function,
    Instance,
    Method,
    Opaque,
    Tensor,
    UserClass,
)
from dlnotes_cli.shapes.rules.layer_types import layer_types

_OF_TENSORS = {"device", "dtype", "T", "ndim"}  # attributes without a value


def attribute(evaluation: Evaluation, node: ast.expr, owner: Any, name: str) -> Any:  # noqa: PLR0911  # one for each owner
    """`owner.name`; of a value that has no such attribute, a method."""
    match owner:
        case External(dotted):
            return External(f"{dotted}.{name}")
        case Instance():
            return instance_attribute(evaluation, node, owner, name)
        case UserClass():
            return _class_attribute(owner, name)
        case Opaque():
            return owner
        case Tensor():
            return _tensor_attribute(evaluation, node, owner, name)
        case Layer():
            return _layer_attribute(evaluation, node, owner, name)
        case _:
            return Method(owner, name)


def instance_attribute(evaluation: Evaluation, node: ast.expr, owner: Instance, name: str) -> Any:
    """What `__init__` or the class sets, or a method; raises InputError for other names."""
    user_class = owner.user_class
    if name in owner.attributes:
        return owner.attributes[name]
    if name in user_class.methods:
        return Function(user_class.methods[name], owner)
    if name in user_class.constants:
        return user_class.constants[name]
    if name == "training":
        return False
    if name in RETURN_SELF | INSPECTIONS | REGISTRATIONS | {"__init__"}:
        return Method(owner, name)
    what = f"'{evaluation.source.text(node)}' has no value: __init__ does not set it"
    raise evaluation.source.error(node, what, SUPPORTED)


def _class_attribute(owner: UserClass, name: str) -> Any:
    if name in owner.constants:
        return owner.constants[name]
    return Function(owner.methods[name]) if name in owner.methods else Method(owner, name)


def _tensor_attribute(evaluation: Evaluation, node: ast.expr, owner: Tensor, name: str) -> Any:
    if name == "shape":
        return ShapeOf(owner.node)
    if name == "data":
        return owner
    return evaluation.opaque(node) if name in _OF_TENSORS else Method(owner, name)


def _layer_attribute(evaluation: Evaluation, node: ast.expr, layer: Layer, name: str) -> Any:
    """An argument of a layer, as in `self.fc.in_features`."""
    if name in {"weight", "bias"}:
        return evaluation.opaque(node)
    keywords = dict(layer.keywords)
    if name in keywords:
        return keywords[name]
    known = layer_types().get(layer.name)
    names = [text.partition("=")[0] for text in known.signature.split(", ")] if known else []
    if name in names[: len(layer.positional)]:
        return layer.positional[names.index(name)]
    return Method(layer, name)
