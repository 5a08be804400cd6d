"""Expressions of pasted code as values: numbers, lists, modules, and tensors of the graph."""

import ast
from collections.abc import Iterator, Sequence
from typing import Any

from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.attributes import attribute, named_value
from dlnotes_cli.shapes.parsing.calls import Calls
from dlnotes_cli.shapes.parsing.evaluation import MAX_ITEMS, Evaluator
from dlnotes_cli.shapes.parsing.items import item, unpacked
from dlnotes_cli.shapes.parsing.operators import compared, joined_text, negated, operated
from dlnotes_cli.shapes.parsing.values import (
    INSPECTIONS,
    UNKNOWN,
    Broken,
    Container,
    External,
    Function,
    Instance,
    Opaque,
    Parts,
    Scope,
    contents,
    is_module,
)
from dlnotes_cli.shell.errors import InputError

_ITERABLES = (list, tuple, range, dict, str, enumerate, zip, reversed, Container)


class Expressions:
    """Evaluates expressions in a scope, and assigns values to names, attributes and items."""

    def __init__(self, evaluation: Evaluator, calls: Calls) -> None:
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
                return named_value(self._evaluation, node, scope)
            case ast.Attribute(owner, name):
                return self._attribute(node, self.value(owner, scope), name)
            case ast.Call():
                return self._call(node, scope)
            case ast.BinOp(left, operator, right):
                return operated(self._evaluation, node, operator, self.value(left, scope), self.value(right, scope))
            case ast.UnaryOp(operator, operand) if not isinstance(operator, ast.Not):
                return negated(self._evaluation, node, operator, self.value(operand, scope))
            case ast.Subscript(owner, index):
                return self._item(node, self.value(owner, scope), index, scope)
            case ast.Tuple() | ast.List() | ast.Dict() | ast.ListComp() | ast.GeneratorExp() | ast.JoinedStr():
                return self._collection(node, scope)
            case _:
                return self._logic(node, scope)

    def _collection(self, node: ast.expr, scope: Scope) -> Any:
        match node:
            case ast.Tuple(elements):
                return tuple(self._elements(elements, scope))
            case ast.List(elements):
                return list(self._elements(elements, scope))
            case ast.Dict(keys, values) if all(keys):
                names = [self.value(key, scope) for key in keys if key]
                self._evaluation.check_size(node, *names)
                return dict(zip(names, (self.value(value, scope) for value in values), strict=True))
            case ast.ListComp(element, [generator]) | ast.GeneratorExp(element, [generator]):
                return self._comprehension(element, generator, scope)
            case ast.JoinedStr(parts):
                values = [one.value if isinstance(one, ast.FormattedValue) else one for one in parts]
                return joined_text(self._evaluation, node, [self.value(one, scope) for one in values])
            case _:
                raise self._evaluation.unsupported(node)

    def _logic(self, node: ast.expr, scope: Scope) -> Any:
        match node:
            case ast.UnaryOp(ast.Not(), operand):
                return not self.truth(operand, scope)
            case ast.BoolOp(operator, values):
                return self._any_or_all(operator, values, scope)
            case ast.Compare(left, operators, comparators):
                values = [self.value(side, scope) for side in (left, *comparators)]
                return compared(self._evaluation, node, values, operators)
            case ast.IfExp(test, body, orelse):
                return self.value(body if self.truth(test, scope) else orelse, scope)
            case ast.Lambda(parameters, body):
                definition = ast.FunctionDef("<lambda>", parameters, [ast.Return(body)], [])
                return Function(ast.fix_missing_locations(ast.copy_location(definition, node)), scope=scope)
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
        if isinstance(value, Parts) and value.count is not None:
            value = unpacked(self._evaluation, node, value, value.count)
        if isinstance(value, UNKNOWN):
            raise self._depends_on_input(node, "loops over constants", "use x.flatten(1), or write the loop out")
        if not isinstance(value, _ITERABLES):
            raise self._evaluation.unsupported(node)
        for one in contents(value):
            self._evaluation.count_step(node)
            yield one

    def assign(self, target: ast.expr, value: Any, scope: Scope) -> None:
        """Give a name, an attribute of a module, or several of them a value."""
        match target:
            case ast.Name(name):
                scope.names[name] = value
            case ast.Attribute(owner, name):
                instance = self.value(owner, scope)
                if isinstance(instance, Instance):
                    instance.set(name, value)
                elif not isinstance(instance, Opaque | Layer):
                    raise self._evaluation.unsupported(target)
            case ast.Tuple(targets) | ast.List(targets):
                for one, part in zip(targets, unpacked(self._evaluation, target, value, len(targets)), strict=True):
                    self.assign(one, part, scope)
            case ast.Subscript(owner, index):
                container, key = self.value(owner, scope), self.value(index, scope)
                self._evaluation.check_size(target, key)
                if not isinstance(container, dict | Container):
                    raise self._evaluation.unsupported(target)
                (container.children if isinstance(container, Container) else container)[key] = value
            case _:
                raise self._evaluation.unsupported(target)

    def _truth_of(self, test: ast.expr, value: Any) -> bool:
        if isinstance(value, UNKNOWN):
            raise self._depends_on_input(test, "conditions on constants", "write the branch that runs")
        return True if is_module(value) else bool(value)

    def _depends_on_input(self, node: ast.expr, supported: str, fix: str) -> InputError:
        source = self._evaluation.source
        what = f"'{source.text(node)}' depends on the input, and only {supported} are supported"
        return source.error(node, what, fix)

    def _attribute(self, node: ast.expr, owner: Any, name: str) -> Any:
        """`owner.name`; of a property, its value."""
        result = attribute(self._evaluation, node, owner, name)
        if isinstance(result, Function) and result.owner and result.decorators & {"property", "cached_property"}:
            return self._calls.call_user_code(result, [], {}, node)
        return result

    def _call(self, node: ast.Call, scope: Scope) -> Any:
        match node.func:
            case ast.Attribute(ast.Call(ast.Name("super")), name):
                positional = list(self._elements(node.args, scope))
                keywords = dict(self._keywords(node, scope))
                return self._calls.call_super(scope.function, name, positional, keywords, node)
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

    def _item(self, node: ast.expr, owner: Any, index: ast.expr, scope: Scope) -> Any:
        """`owner[index]`."""
        items = index.elts if isinstance(index, ast.Tuple) else [index]
        return item(self._evaluation, node, owner, tuple(self._index(one, scope) for one in items))

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
        inner = Scope({}, scope, scope.function)
        result = []
        for one in self.iterated(generator.iter, scope):
            self.assign(generator.target, one, inner)
            if all(self.truth(test, inner) for test in generator.ifs):
                result.append(self.value(element, inner))
            if len(result) > MAX_ITEMS:
                raise self._evaluation.too_long(element)
        return result
