"""Operators and comparisons of pasted code: on numbers, sizes, lists, strings and tensors."""

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

from dlnotes_cli.shapes.deferred import Deferred, ShapeOf
from dlnotes_cli.shapes.parsing.constants import NotConstantError, compute
from dlnotes_cli.shapes.parsing.evaluation import MAX_ITEMS, Evaluator
from dlnotes_cli.shapes.parsing.values import UNKNOWN, ConstantTensor, Opaque, State, Tensor

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


def operated(  # noqa: PLR0911  # one for each kind of operand
    evaluation: Evaluator,
    node: ast.expr,
    operator: ast.operator,
    left: Any,
    right: Any,
    *,
    is_inplace: bool = False,
) -> Any:
    """`left operator right`."""
    operands = (left, right)
    if any(isinstance(one, Tensor | State) for one in operands):
        return evaluation.tensors.binary(
            node, operator, left, right, is_inplace=is_inplace and isinstance(left, Tensor)
        )
    if any(isinstance(one, Opaque) for one in operands):
        return evaluation.opaque(node)
    if any(isinstance(one, Deferred | ShapeOf) for one in operands) and type(operator) in _SIZE_OPERATORS:
        return evaluation.graph.deferred(node, _SIZE_OPERATORS[type(operator)], left, right)
    if isinstance(left, ConstantTensor) or isinstance(right, ConstantTensor):
        return _of_constants(evaluation, node, operator, left, right)
    if isinstance(left, str) and isinstance(operator, ast.Mod):
        return _percent_formatted(evaluation, node, left, right)
    if isinstance(left, list | tuple | str) and isinstance(operator, ast.Add | ast.Mult):
        return _joined(evaluation, node, operator, left, right)
    try:
        return compute(operator, left, right)
    except NotConstantError as error:
        what = f"'{evaluation.source.text(node)}' {error}"
        raise evaluation.source.error(node, what, "write the number") from error


def negated(evaluation: Evaluator, node: ast.expr, operator: ast.unaryop, value: Any) -> Any:
    """`operator value` for `-`, `+` and `~`."""
    if isinstance(value, ConstantTensor):
        return value
    if isinstance(value, Tensor | State):
        return evaluation.tensors.call(node, "neg", [value], {})
    if isinstance(value, Deferred) and isinstance(operator, ast.USub):
        return evaluation.graph.deferred(node, lambda number: -number, value)
    try:
        return compute(operator, value)
    except NotConstantError as error:
        raise evaluation.unsupported(node) from error


def compared(evaluation: Evaluator, node: ast.expr, values: Sequence[Any], operators: Sequence[ast.cmpop]) -> Any:
    """Whether a chain of comparisons holds; Opaque where that depends on the input."""
    for left, operator, right in zip(values, operators, values[1:], strict=False):
        is_identity = isinstance(operator, ast.Is | ast.IsNot)
        if not is_identity and any(isinstance(value, UNKNOWN) for value in (left, right)):
            return evaluation.opaque(node)
        evaluation.check_size(node, left, right)
        try:
            if not _COMPARISONS[type(operator)](left, right):
                return False
        except TypeError as error:
            raise evaluation.unsupported(node) from error
    return True


def joined_text(evaluation: Evaluator, node: ast.expr, parts: Sequence[Any]) -> str:
    """The text of an f-string."""
    if not all(isinstance(part, str | int | float | None) for part in parts):
        raise evaluation.unsupported(node)
    return "".join(map(str, parts))


def formatted(evaluation: Evaluator, node: ast.expr, text: str, values: Sequence[Any]) -> str:
    """`text.format(*values)` with braces that have no format."""
    if re.sub(r"{\d*}", "", text).count("{") or not all(isinstance(value, str | int | float) for value in values):
        raise evaluation.unsupported(node)
    return text.format(*values)


def _percent_formatted(evaluation: Evaluator, node: ast.expr, text: str, values: Any) -> str:
    """`text % values` with %d, %i and %s alone."""
    items = values if isinstance(values, tuple) else (values,)
    if re.sub(r"%[dis]", "", text).count("%") or not all(isinstance(value, str | int | float) for value in items):
        raise evaluation.unsupported(node)
    return str(text % values)


def _of_constants(evaluation: Evaluator, node: ast.expr, operator: ast.operator, left: Any, right: Any) -> Any:
    """A tensor of known sizes scaled or shifted by numbers; its values play no role."""
    tensors = [value for value in (left, right) if isinstance(value, ConstantTensor)]
    if len({one.shape for one in tensors}) == 1 and all(
        isinstance(one, int | float | ConstantTensor) for one in (left, right)
    ):
        return tensors[0]
    return evaluation.tensors.binary(node, operator, left, right)


def _joined(evaluation: Evaluator, node: ast.expr, operator: ast.operator, left: Any, right: Any) -> Any:
    """A list or string followed by another one, or repeated."""
    is_valid = isinstance(right, int) if isinstance(operator, ast.Mult) else isinstance(right, type(left))
    count = len(left) * right if isinstance(right, int) else len(left) + len(right) if is_valid else 0
    if not is_valid or count > MAX_ITEMS:
        raise evaluation.unsupported(node)
    return left * right if isinstance(operator, ast.Mult) else left + right
