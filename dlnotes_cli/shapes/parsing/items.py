"""Items of values: `owner[index]`, and several names that take the items of one value."""

import ast
from collections.abc import Sequence
from typing import Any

from dlnotes_cli.shapes.deferred import Deferred, ShapeOf
from dlnotes_cli.shapes.parsing.evaluation import Evaluator
from dlnotes_cli.shapes.parsing.modules import child
from dlnotes_cli.shapes.parsing.values import ConstantTensor, Container, Opaque, Parts, State, Tensor


def item(evaluation: Evaluator, node: ast.expr, owner: Any, indices: tuple[Any, ...]) -> Any:
    """`owner[indices]`."""
    if isinstance(owner, Parts) and isinstance(indices[0], int):
        return evaluation.tensors.part(node, owner, indices[0], owner.count)
    if isinstance(owner, Tensor | State | ConstantTensor):
        return evaluation.tensors.indexed(node, owner, indices)
    if isinstance(owner, ShapeOf | Deferred):
        return evaluation.graph.deferred(node, tuple.__getitem__, owner, *indices)
    if isinstance(owner, Opaque):
        return owner
    if isinstance(owner, Container):
        return child(evaluation, node, owner, indices[0])
    evaluation.check_size(node, *indices)
    try:
        return owner[indices[0] if len(indices) == 1 else indices]
    except (LookupError, TypeError) as error:
        raise evaluation.unsupported(node) from error


def unpacked(evaluation: Evaluator, node: ast.expr, value: Any, count: int) -> Sequence[Any]:
    """The `count` items of a value that as many names take."""
    if isinstance(value, ShapeOf):
        return [evaluation.graph.deferred(node, tuple.__getitem__, value, index) for index in range(count)]
    if isinstance(value, Parts):
        return [evaluation.tensors.part(node, value, index, count) for index in range(count)]
    if isinstance(value, Opaque):
        return [value] * count
    if not isinstance(value, list | tuple) or len(value) != count:
        raise evaluation.graph.unsupported(node)
    return value
