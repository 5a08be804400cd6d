"""Functions of pasted code: their parameters bound to arguments and constant defaults."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dlnotes_cli.shapes.parsing.evaluation import Evaluator
from dlnotes_cli.shapes.parsing.values import Function, Opaque


def bound_arguments(
    evaluation: Evaluator,
    node: ast.AST,
    function: Function,
    positional: Sequence[Any],
    keywords: Mapping[str, Any],
    default_value: Callable[[ast.expr], Any],
) -> dict[str, Any]:
    """The value of each parameter in a call, as Python binds them; raises InputError where Python raises TypeError.

    A parameter of forward() without a value is a second input, which is Opaque.
    """
    parameters = function.definition.args
    values = [*_owner(function), *positional]
    names = [one.arg for one in (*parameters.posonlyargs, *parameters.args)]
    bound: dict[str, Any] = dict(zip(names, values, strict=False))
    if parameters.vararg:
        bound[parameters.vararg.arg] = tuple(values[len(names) :])
    elif len(values) > len(names):
        raise evaluation.unsupported(node)
    names += [one.arg for one in parameters.kwonlyargs]
    extra = {name: value for name, value in keywords.items() if name not in names}
    if parameters.kwarg:
        bound[parameters.kwarg.arg] = extra
    elif extra:
        what = f"{function.definition.name}() has no argument '{next(iter(extra))}'"
        raise evaluation.source.error(node, what, "correct it")
    bound |= {name: value for name, value in keywords.items() if name in names}
    defaults = dict(_defaults(parameters))
    for name in names:
        if name not in bound:
            bound[name] = (
                default_value(defaults[name]) if name in defaults else _missing(evaluation, node, function, name)
            )
    return bound


def _owner(function: Function) -> Iterator[Any]:
    """Yield the instance that a method gets as its first argument."""
    if function.owner is not None and "staticmethod" not in function.decorators:
        yield function.owner


def _defaults(parameters: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    positional = [*parameters.posonlyargs, *parameters.args]
    first = len(positional) - len(parameters.defaults)
    for parameter, default in zip(positional[first:], parameters.defaults, strict=True):
        yield parameter.arg, default
    for parameter, keyword_default in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True):
        if keyword_default is not None:
            yield parameter.arg, keyword_default


def _missing(evaluation: Evaluator, node: ast.AST, function: Function, name: str) -> Opaque:
    """The value of a parameter without an argument or default."""
    if function.definition.name == "forward":
        return Opaque(f"'{name}', a second input of forward()")
    owner = function.owner.user_class.name if function.owner else function.definition.name
    what = f"'{name}' of {owner} has no value"
    raise evaluation.source.error(node, what, f"add a line such as model = {owner}({name}=10)")
