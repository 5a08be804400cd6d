"""Constant expressions in Python syntax, evaluated without executing code."""

import ast
import operator
from collections.abc import Callable
from typing import Any

_MAX_INTEGER = 2**200  # of intermediate results; the arguments of a layer must fit in 64 bits


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
            return _compute(operation, operand)
        case ast.BinOp(left, operation, right) if type(operation) in _OPERATORS:
            return _compute(operation, left, right)
        case ast.Call(ast.Name("float"), [ast.Constant("inf" | "-inf" as value)], []):
            return float(value)
        case _:
            raise NotConstantError("is not a constant")


def _compute(operation: ast.operator | ast.unaryop, *operands: ast.expr) -> Any:
    return compute(operation, *map(constant, operands))


def compute(operation: ast.operator | ast.unaryop, *numbers: Any) -> Any:
    """Arithmetic on numbers; raises NotConstantError for other values and other operators."""
    if type(operation) not in _OPERATORS or not all(isinstance(number, int | float) for number in numbers):
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
