"""Names and attributes: of modules, layers, tensors, and of PyTorch."""

import ast
from dataclasses import replace
from typing import Any

from dlnotes_cli.shapes.deferred import ShapeOf
from dlnotes_cli.shapes.layer import RESIDUAL, Layer
from dlnotes_cli.shapes.parsing.evaluation import Evaluator
from dlnotes_cli.shapes.parsing.tensor_graph import SUPPORTED
from dlnotes_cli.shapes.parsing.values import (
    CONTAINERS,
    INSPECTIONS,
    PYTHON_NAMES,
    REGISTRATIONS,
    RETURN_SELF,
    ConstantTensor,
    External,
    Instance,
    Method,
    Opaque,
    Scope,
    Tensor,
    UserClass,
)
from dlnotes_cli.shapes.rules.layer_types import layer_types

_OF_TENSORS = {"device", "dtype", "T", "ndim"}  # attributes without a value


def named_value(evaluation: Evaluator, node: ast.Name, scope: Scope) -> Any:
    """The value of a name: of the code, of Python, or a layer without its `nn.`."""
    name = node.id
    where: Scope | None = scope
    while where is not None:
        if name in where.names:
            return where.names[name]
        where = where.outer
    if name in PYTHON_NAMES:
        return External(name)
    if name in layer_types() or name in CONTAINERS or name in {RESIDUAL, "OrderedDict"}:
        return External(f"torch.nn.{name}")
    raise evaluation.source.error(node, f"'{name}' has no value here", f"add a line such as {name} = 10")


def attribute(evaluation: Evaluator, node: ast.expr, owner: Any, name: str) -> Any:  # noqa: PLR0911  # one for each owner
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
        case ConstantTensor() if name == "shape":
            return owner.shape
        case tuple((Tensor() as values, _)) if name == "values":  # of max and min
            return values
        case Layer():
            return _layer_attribute(evaluation, node, owner, name)
        case _:
            return Method(owner, name)


def instance_attribute(evaluation: Evaluator, node: ast.expr, owner: Instance, name: str) -> Any:
    """What `__init__` or the class sets, or a method; raises InputError for other names."""
    user_class = owner.user_class
    if name in owner.attributes:
        return owner.attributes[name]
    method = user_class.method(name)
    if method is not None:
        return replace(method, owner=owner)
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
    return owner.method(name) or Method(owner, name)


def _tensor_attribute(evaluation: Evaluator, node: ast.expr, owner: Tensor, name: str) -> Any:
    if name == "shape":
        return ShapeOf(owner.node)
    if name == "data":
        return owner
    return evaluation.opaque(node) if name in _OF_TENSORS else Method(owner, name)


def _layer_attribute(evaluation: Evaluator, node: ast.expr, layer: Layer, name: str) -> Any:
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
