"""The surfaces of `descend`: formulas of x and y, and named ones with the region that is drawn and their minima.

Formulas are parsed with `ast`, refused unless every node is arithmetic, and computed without `eval`.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dlnotes_cli.shell.errors import InputError, require

Bounds = tuple[tuple[float, float], ...]  # lowest and highest value of each variable
VARIABLES = ("x", "y")
FUNCTIONS = ("sin", "cos", "exp", "log", "sqrt", "abs")
_CONSTANTS = {"pi": math.pi, "e": math.e}
_OPERATORS: dict[type[ast.operator | ast.unaryop], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_MOST_CHARACTERS = 500
_TOO_LARGE = 1e300  # a number of a formula
_FIX = f"use x, y, numbers, pi, e, + - * / **, and {', '.join(FUNCTIONS)}"


Evaluated = Callable[[Any, Mapping[str, Any]], Any]  # of the module torch and the values of the variables


@dataclass(frozen=True)
class Formula:
    """A formula that contains nothing but arithmetic; `variables` are x, or x and y.

    `evaluate` gets the module torch, which is not loaded here.
    """

    text: str
    evaluate: Evaluated
    variables: tuple[str, ...]


def parse_formula(text: str, where: str) -> Formula:
    """Parse a formula. Raises InputError that quotes what is not arithmetic.

    >>> parse_formula("x**2 + 3*y**2", "--surface").variables
    ('x', 'y')
    """
    is_short = len(text) <= _MOST_CHARACTERS
    require(is_short, where, f"is longer than {_MOST_CHARACTERS} characters", "use a shorter formula")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        evaluate = _compiled(tree, where)
    except (SyntaxError, ValueError) as error:
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(where, f"'{text}' is not a formula ({what})", _FIX) from error
    except (RecursionError, MemoryError) as error:
        raise InputError(where, "is nested too deeply", "use a simpler formula") from error
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {*VARIABLES}
    require(names, where, f"'{text}' is constant", "use x, or x and y")
    return Formula(text.strip(), evaluate, VARIABLES if "y" in names else VARIABLES[:1])


def _compiled(node: ast.expr, where: str) -> Evaluated:
    """The function of a node. Raises InputError for a node that is not arithmetic of finite numbers."""
    match node:
        case ast.Constant(int() | float() as number) if not isinstance(number, bool) and abs(number) < _TOO_LARGE:
            return lambda torch, _: torch.tensor(float(number), dtype=torch.float64)
        case ast.Name(name) if name in _CONSTANTS:
            return lambda torch, _: torch.tensor(_CONSTANTS[name], dtype=torch.float64)
        case ast.Name(name) if name in VARIABLES:
            return lambda _, values: values[name]
        case ast.BinOp(left, kind, right) if type(kind) in _OPERATORS:
            first, second = _compiled(left, where), _compiled(right, where)
            return lambda *given: _OPERATORS[type(kind)](first(*given), second(*given))
        case ast.UnaryOp(kind, operand) if type(kind) in _OPERATORS:
            inner = _compiled(operand, where)
            return lambda *given: _OPERATORS[type(kind)](inner(*given))
        case ast.Call(ast.Name(name), [argument], []) if name in FUNCTIONS:
            of = _compiled(argument, where)
            return lambda torch, values: getattr(torch, name)(of(torch, values))
    raise InputError(where, f"'{ast.unparse(node)[:60]}' is not arithmetic of x and y", _FIX)


@dataclass(frozen=True)
class Surface:
    """A function of one or two variables; `lr` is a learning rate at which plain gradient descent is stable."""

    name: str
    formula: Formula
    bounds: Bounds
    start: tuple[float, ...]
    lr: float
    minima: tuple[tuple[float, ...], ...] = ()

    def around(self, start: tuple[float, ...] | None) -> "Surface":
        """The surface with a region that contains a start and its reflection, so that there is room to move."""
        if start is None or len(start) != len(self.bounds):
            return self
        bounds = ((min(low, -abs(x)), max(high, abs(x))) for x, (low, high) in zip(start, self.bounds, strict=True))
        return replace(self, bounds=tuple(bounds))


def custom_surface(formula: Formula) -> Surface:
    """The surface of a formula, on which nothing is known."""
    count = len(formula.variables)
    return Surface("custom", formula, ((-5.0, 5.0),) * count, (-4.0, 3.0)[:count], 0.01)


def _named(
    name: str, text: str, bounds: Bounds, start: tuple[float, ...], lr: float, *minima: tuple[float, ...]
) -> Surface:
    return Surface(name, parse_formula(text, name), bounds, start, lr, minima)


SURFACES = {
    surface.name: surface
    for surface in (
        _named("bowl", "x**2 + y**2", ((-5, 5), (-5, 5)), (-4, 3), 0.1, (0, 0)),
        _named("ravine", "0.05*x**2 + y**2", ((-5, 5), (-3, 3)), (-4.5, 2), 0.3, (0, 0)),
        _named("saddle", "x**2 - y**2", ((-2, 2), (-2, 2)), (-1.8, 0.01), 0.05),
        _named(
            "hills", "0.1*x**2 + sin(3*x)", ((-5, 5),), (3.2,), 0.02,
            (-4.608299,), (-2.560807,), (-0.512214,), (1.536590,), (3.584752,),
        ),
        _named("rosenbrock", "(1 - x)**2 + 100*(y - x**2)**2", ((-2, 2), (-1, 3)), (-1.5, 2.5), 0.001, (1, 1)),
        _named(
            "beale", "(1.5 - x + x*y)**2 + (2.25 - x + x*y**2)**2 + (2.625 - x + x*y**3)**2", ((-1, 4.5), (-2, 2)),
            (1, 1), 0.005, (3, 0.5),
        ),
        _named(
            "himmelblau", "(x**2 + y - 11)**2 + (x + y**2 - 7)**2", ((-6, 6), (-6, 6)), (-0.5, -1), 0.005,
            (3, 2), (-2.805118, 3.131313), (-3.779310, -3.283186), (3.584428, -1.848127),
        ),
    )
}  # fmt: skip
