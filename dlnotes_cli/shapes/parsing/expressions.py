"""Expressions of pasted code as values: numbers, lists, modules, and tensors of the graph."""

import ast
from collections.abc import Iterator, Sequence
from typing import Any

from dlnotes_cli.shapes.graph import Deferred, ShapeOf
from dlnotes_cli.shapes.layer import RESIDUAL, Layer
from dlnotes_cli.shapes.parsing.attributes import attribute
from dlnotes_cli.shapes.parsing.calls import Calls
from dlnotes_cli.shapes.parsing.evaluation import MAX_ITEMS, Evaluation, Scope
from dlnotes_cli.shapes.parsing.modules import child
from dlnotes_cli.shapes.parsing.operators import compared, negated, operated
from dlnotes_cli.shapes.parsing.python_functions import NAMES
from dlnotes_cli.shapes.parsing.values import (
    CONTAINERS,
    INSPECTIONS,
    UNKNOWN,
    Broken,
    Container,
    External,
    Instance,
    Opaque,
    State,
    Tensor,
    contents,
    is_module,
)
from dlnotes_cli.shapes.rules.layer_types import layer_types

_ITERABLES = (list, tuple, range, dict, str, enumerate, zip, reversed, Container)


class Expressions:
    """Evaluates expressions in a scope, and assigns values to names, attributes and items."""

    def __init__(self, evaluation: Evaluation, calls: Calls) -> None:
        self._evaluation = evaluation
        self._calls = calls

    def value(self, node: ast.expr, scope: Scope) -> Any:
        """The value of an expression; raises InputError where it is not supported or has none."""
        result = self._value(node, scope)
        if isinstance(result, Broken):
            raise result.error
        return result

    def _value(self, node: ast.expr, scope: Scope) -> Any:  # noqa: PLR0911  # one for each kind of expression
        match node:
            case ast.Constant(value):
                return value
            case ast.Name():
                return self._name(node, scope)
            case ast.Attribute(owner, name):
                return attribute(self._evaluation, node, self.value(owner, scope), name)
            case ast.Call():
                return self._call(node, scope)
            case ast.BinOp(left, operator, right):
                return operated(self._evaluation, node, operator, self.value(left, scope), self.value(right, scope))
            case ast.Subscript(owner, index):
                return self._item(node, self.value(owner, scope), index, scope)
            case ast.Tuple(elements):
                return tuple(self._elements(elements, scope))
            case ast.List(elements):
                return list(self._elements(elements, scope))
            case _:
                return self._other_value(node, scope)

    def _other_value(self, node: ast.expr, scope: Scope) -> Any:  # noqa: PLR0911  # likewise
        match node:
            case ast.Dict(keys, values) if all(keys):
                return {self.value(k, scope): self.value(v, scope) for k, v in zip(keys, values, strict=True) if k}
            case ast.UnaryOp(ast.Not(), operand):
                return not self.truth(operand, scope)
            case ast.UnaryOp(operator, operand):
                return negated(self._evaluation, node, operator, self.value(operand, scope))
            case ast.BoolOp(operator, values):
                return self._any_or_all(operator, values, scope)
            case ast.Compare(left, operators, comparators):
                values = [self.value(side, scope) for side in (left, *comparators)]
                return compared(self._evaluation, node, values, operators)
            case ast.IfExp(test, body, orelse):
                return self.value(body if self.truth(test, scope) else orelse, scope)
            case ast.ListComp(element, [generator]) | ast.GeneratorExp(element, [generator]):
                return self._comprehension(element, generator, scope)
            case ast.JoinedStr(parts):
                return "".join(str(self.value(part, scope)) for part in parts)
            case ast.FormattedValue(value):
                return self.value(value, scope)
            case _:
                raise self._evaluation.unsupported(node)

    def truth(self, test: ast.expr, scope: Scope) -> bool:
        """Whether a condition holds; raises InputError for one that depends on data or on the input's size."""
        return self._truth_of(test, self.value(test, scope))

    def iterated(self, node: ast.expr, scope: Scope) -> Iterator[Any]:
        """Yield the items of a list, range or container of modules; nothing for the modules that a loop initializes."""
        value = self.value(node, scope)
        if isinstance(value, Opaque) and value.name in INSPECTIONS:
            return
        if not isinstance(value, _ITERABLES):
            raise self._evaluation.unsupported(node)
        for item in contents(value):
            self._evaluation.count_step(node)
            yield item

    def assign(self, target: ast.expr, value: Any, scope: Scope) -> None:
        """Give a name, an attribute of a module, or several of them a value."""
        match target:
            case ast.Name(name):
                scope.names[name] = value
            case ast.Attribute(owner, name):
                instance = self.value(owner, scope)
                if isinstance(instance, Instance):
                    instance.attributes[name] = value
                elif not isinstance(instance, Opaque | Layer):
                    raise self._evaluation.unsupported(target)
            case ast.Tuple(targets) | ast.List(targets):
                for one, item in zip(targets, self._unpacked(target, value, len(targets)), strict=True):
                    self.assign(one, item, scope)
            case ast.Subscript(owner, index):
                container, key = self.value(owner, scope), self.value(index, scope)
                if not isinstance(container, dict | Container):
                    raise self._evaluation.unsupported(target)
                (container.children if isinstance(container, Container) else container)[key] = value
            case _:
                raise self._evaluation.unsupported(target)

    def _truth_of(self, test: ast.expr, value: Any) -> bool:
        if isinstance(value, UNKNOWN):
            source = self._evaluation.source
            what = f"'{source.text(test)}' depends on the input, and only conditions on constants are supported"
            raise source.error(test, what, "write the branch that runs")
        return True if is_module(value) else bool(value)

    def _name(self, node: ast.Name, scope: Scope) -> Any:
        """The value of a name: of the code, of Python, or a layer without its `nn.`."""
        name = node.id
        where: Scope | None = scope
        while where is not None:
            if name in where.names:
                return where.names[name]
            where = where.outer
        if name in NAMES:
            return External(name)
        if name in layer_types() or name in CONTAINERS or name in {RESIDUAL, "OrderedDict"}:
            return External(f"torch.nn.{name}")
        raise self._evaluation.source.error(node, f"'{name}' has no value here", f"add a line such as {name} = 10")

    def _call(self, node: ast.Call, scope: Scope) -> Any:
        match node.func:
            case ast.Attribute(ast.Call(ast.Name("super")), "__init__"):
                positional = list(self._elements(node.args, scope))
                keywords = dict(self._keywords(node, scope))
                return self._calls.call_super_init(scope.names.get("self"), positional, keywords, node)
            case ast.Attribute(ast.Call(ast.Name("super"))) if isinstance(scope.names.get("self"), Instance):
                raise self._evaluation.unsupported(node)
        function = self.value(node.func, scope)
        if function == External("print"):
            return None
        return self._calls.call(
            function, list(self._elements(node.args, scope)), dict(self._keywords(node, scope)), node
        )

    def _keywords(self, node: ast.Call, scope: Scope) -> Iterator[tuple[str, Any]]:
        for keyword in node.keywords:
            if keyword.arg is None:
                values = self.value(keyword.value, scope)
                if not isinstance(values, dict):
                    raise self._evaluation.unsupported(node)
                yield from values.items()
            elif keyword.arg in {"device", "dtype"}:  # they change no shape, so they need no value
                yield keyword.arg, None
            else:
                yield keyword.arg, self.value(keyword.value, scope)

    def _elements(self, nodes: Sequence[ast.expr], scope: Scope) -> Iterator[Any]:
        for node in nodes:
            if isinstance(node, ast.Starred):
                yield from self.iterated(node.value, scope)
            else:
                yield self.value(node, scope)

    def _unpacked(self, node: ast.AST, value: Any, count: int) -> Sequence[Any]:
        graph = self._evaluation.graph
        if isinstance(value, ShapeOf):
            return [graph.deferred(node, tuple.__getitem__, value, index) for index in range(count)]
        if isinstance(value, Opaque):
            return [value] * count
        if not isinstance(value, list | tuple) or len(value) != count:
            raise graph.unsupported(node)
        return value

    def _item(self, node: ast.expr, owner: Any, index: ast.expr, scope: Scope) -> Any:
        """`owner[index]`."""
        graph = self._evaluation.graph
        items = index.elts if isinstance(index, ast.Tuple) else [index]
        values = tuple(self._index(item, scope) for item in items)
        if isinstance(owner, Tensor | State):
            return graph.indexed(node, owner, values)
        if isinstance(owner, ShapeOf | Deferred):
            return graph.deferred(node, tuple.__getitem__, owner, *values)
        if isinstance(owner, Opaque):
            return owner
        if isinstance(owner, Container):
            return child(self._evaluation, node, owner, values[0])
        try:
            return owner[values[0] if len(values) == 1 else values]
        except (LookupError, TypeError) as error:
            raise self._evaluation.unsupported(node) from error

    def _index(self, node: ast.expr, scope: Scope) -> Any:
        if not isinstance(node, ast.Slice):
            return self.value(node, scope)
        limits = [self.value(limit, scope) if limit else None for limit in (node.lower, node.upper, node.step)]
        if not all(isinstance(limit, int | None) for limit in limits) or limits[2] == 0:
            raise self._evaluation.unsupported(node)
        return slice(*limits)

    def _any_or_all(self, operator: ast.boolop, values: list[ast.expr], scope: Scope) -> Any:
        is_or = isinstance(operator, ast.Or)
        result: Any = None
        for value in values:
            result = self.value(value, scope)
            if self._truth_of(value, result) == is_or:
                return result
        return result

    def _comprehension(self, element: ast.expr, generator: ast.comprehension, scope: Scope) -> list[Any]:
        inner = Scope(dict(scope.names), scope.outer, is_init=False)
        result = []
        for item in self.iterated(generator.iter, scope):
            self.assign(generator.target, item, inner)
            if all(self.truth(test, inner) for test in generator.ifs):
                result.append(self.value(element, inner))
            if len(result) > MAX_ITEMS:
                raise self._evaluation.too_long(element)
        return result
