"""Operators and comparisons of pasted code: on numbers, sizes, lists, strings and tensors."""

import ast
from collections.abc import Callable, Sequence
from typing import Any

from dlnotes_cli.shapes.graph import Deferred, ShapeOf
from dlnotes_cli.shapes.parsing.constants import NotConstantError, compute
from dlnotes_cli.shapes.parsing.evaluation import MAX_ITEMS, Evaluation
from dlnotes_cli.shapes.parsing.values import UNKNOWN, Opaque, State, Tensor

_SIZE_OPERATORS: dict[type[ast.operator], Callable[..., Any]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Div: lambda left, right: left / right,
    ast.Mod: lambda left, right: left % right,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: lambda left, right: left == right,
    ast.NotEq: lambda left, right: left != right,
    ast.Lt: lambda left, right: left < right,
    ast.LtE: lambda left, right: left <= right,
    ast.Gt: lambda left, right: left > right,
    ast.GtE: lambda left, right: left >= right,
    ast.Is: lambda left, right: left is right,
    ast.IsNot: lambda left, right: left is not right,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}


def operated(
    evaluation: Evaluation, node: ast.expr, operator: ast.operator, left: Any, right: Any, *, is_inplace: bool = False
) -> Any:
    """`left operator right`."""
    operands = (left, right)
    if any(isinstance(one, Tensor | State) for one in operands):
        return evaluation.graph.binary(node, operator, left, right, is_inplace=is_inplace and isinstance(left, Tensor))
    if any(isinstance(one, Opaque) for one in operands):
        return evaluation.opaque(node)
    if any(isinstance(one, Deferred | ShapeOf) for one in operands) and type(operator) in _SIZE_OPERATORS:
        return evaluation.graph.deferred(node, _SIZE_OPERATORS[type(operator)], left, right)
    if isinstance(left, list | tuple | str) and isinstance(operator, ast.Add | ast.Mult):
        return _joined(evaluation, node, operator, left, right)
    try:
        return compute(operator, left, right)
    except NotConstantError as error:
        what = f"'{evaluation.source.text(node)}' {error}"
        raise evaluation.source.error(node, what, "write the number") from error


def negated(evaluation: Evaluation, node: ast.expr, operator: ast.unaryop, value: Any) -> Any:
    """`operator value` for `-`, `+` and `~`."""
    if isinstance(value, Tensor | State):
        return evaluation.graph.call(node, "neg", [value], {})
    if isinstance(value, Deferred) and isinstance(operator, ast.USub):
        return evaluation.graph.deferred(node, lambda number: -number, value)
    try:
        return compute(operator, value)
    except NotConstantError as error:
        raise evaluation.unsupported(node) from error


def compared(evaluation: Evaluation, node: ast.expr, values: Sequence[Any], operators: Sequence[ast.cmpop]) -> Any:
    """Whether a chain of comparisons holds; Opaque where that depends on the input."""
    for left, operator, right in zip(values, operators, values[1:], strict=False):
        is_identity = isinstance(operator, ast.Is | ast.IsNot)
        if not is_identity and any(isinstance(value, UNKNOWN) for value in (left, right)):
            return evaluation.opaque(node)
        try:
            if not _COMPARISONS[type(operator)](left, right):
                return False
        except TypeError as error:
            raise evaluation.unsupported(node) from error
    return True


def _joined(evaluation: Evaluation, node: ast.expr, operator: ast.operator, left: Any, right: Any) -> Any:
    """A list or string followed by another one, or repeated."""
    is_valid = isinstance(right, int) if isinstance(operator, ast.Mult) else isinstance(right, type(left))
    count = len(left) * right if isinstance(right, int) else len(left) + len(right) if is_valid else 0
    if not is_valid or count > MAX_ITEMS:
        raise evaluation.unsupported(node)
    return left * right if isinstance(operator, ast.Mult) else left + right
