"""Formulas of x and y: parsed with `ast`, refused unless every node is arithmetic, and computed without `eval`."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dlnotes_cli.shell.errors import InputError

VARIABLES = ("x", "y")
FUNCTIONS = ("sin", "cos", "exp", "log", "sqrt", "abs")
_CONSTANTS = {"pi": math.pi, "e": math.e}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_MOST_CHARACTERS = 500
_FIX = f"use x, y, numbers, pi, e, + - * / **, and {', '.join(FUNCTIONS)}"


@dataclass(frozen=True)
class Formula:
    """A formula that contains nothing but arithmetic; `variables` are x, or x and y."""

    text: str
    tree: ast.expr
    variables: tuple[str, ...]

    def __call__(self, constant: Callable[[float], Any], functions: Any, values: Mapping[str, Any]) -> Any:
        """The value for numbers or arrays; `constant` wraps a number, `functions` has sin, cos and so on."""
        return _value(self.tree, constant, functions, values)


def parse_formula(text: str, where: str) -> Formula:
    """Parse a formula. Raises InputError that quotes what is not arithmetic.

    >>> parse_formula("x**2 + 3*y**2", "--surface").variables
    ('x', 'y')
    """
    if len(text) > _MOST_CHARACTERS:
        raise InputError(where, f"is longer than {_MOST_CHARACTERS} characters", "use a shorter formula")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        names = set(_checked(tree, where))
    except (SyntaxError, ValueError) as error:
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(where, f"'{text}' is not a formula ({what})", _FIX) from error
    except (RecursionError, MemoryError) as error:
        raise InputError(where, "is nested too deeply", "use a simpler formula") from error
    if not names:
        raise InputError(where, f"'{text}' is constant", "use x, or x and y")
    return Formula(text.strip(), tree, VARIABLES if "y" in names else VARIABLES[:1])


def _checked(node: ast.expr, where: str) -> list[str]:
    """The variables in a node. Raises InputError for a node that is not arithmetic."""
    match node:
        case ast.Constant(int() | float() as number) if not isinstance(number, bool) and abs(number) < math.inf:
            _finite(number, where)
            return []
        case ast.Name(name) if name in _CONSTANTS:
            return []
        case ast.Name(name) if name in VARIABLES:
            return [name]
        case ast.BinOp(left, kind, right) if type(kind) in _BINARY:
            return _checked(left, where) + _checked(right, where)
        case ast.UnaryOp(kind, operand) if type(kind) in _UNARY:
            return _checked(operand, where)
        case ast.Call(ast.Name(name), [argument], []) if name in FUNCTIONS:
            return _checked(argument, where)
    raise InputError(where, f"'{ast.unparse(node)[:60]}' is not arithmetic of x and y", _FIX)


def _finite(number: float, where: str) -> None:
    try:
        float(number)
    except OverflowError as error:
        raise InputError(where, "has a number that is too large", "use numbers below 1e308") from error


def _value(node: ast.expr, constant: Callable[[float], Any], functions: Any, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(int() | float() as number):
            return constant(float(number))
        case ast.Name(name):
            return values[name] if name in values else constant(_CONSTANTS[name])
        case ast.BinOp(left, kind, right):
            operands = (_value(side, constant, functions, values) for side in (left, right))
            return _BINARY[type(kind)](*operands)
        case ast.UnaryOp(kind, operand):
            return _UNARY[type(kind)](_value(operand, constant, functions, values))
        case ast.Call(ast.Name(name), [argument]):
            return getattr(functions, name)(_value(argument, constant, functions, values))
    raise TypeError(ast.dump(node))  # which `parse_formula` refuses
