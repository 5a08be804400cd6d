"""The graph of pasted modules: `__init__` and `forward` are read statement by statement, and nothing is executed.

Numbers, lists and modules have values while the code is read; tensors stand for nodes of the graph. What has no value,
such as a second input, is an error only where a shape depends on it.
"""

import ast
from collections.abc import Iterator
from typing import Any

from dlnotes_cli.shapes.graph import Network
from dlnotes_cli.shapes.parsing.evaluation import Evaluator, Scope
from dlnotes_cli.shapes.parsing.expressions import EXAMPLE, ExpressionParser
from dlnotes_cli.shapes.parsing.tensors import input_tensor
from dlnotes_cli.shapes.parsing.values import Broken, Function, Instance, UserClass, has_user_class
from dlnotes_cli.shell.errors import InputError

_IGNORED = ast.Pass | ast.Assert | ast.Global | ast.Nonlocal | ast.Delete


def forward_network(parser: ExpressionParser, statements: list[ast.stmt]) -> Network:
    """The graph of the module that a text defines: the last one that it makes, else an instance of its last class.

    Raises InputError with its line for code that the result depends on and that is not supported.
    """
    reader = _Reader(parser)
    try:
        reader.read(statements)
        module, node = reader.module()
        result = reader.evaluator.call_module(module, [input_tensor()], {}, node)
        return Network(reader.evaluator.graph.finish(result, node), is_code=True)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:  # as Python would raise
        raise reader.evaluator.unsupported(reader.evaluator.last) from error


class _Reader:
    """Reads the statements of a text."""

    def __init__(self, parser: ExpressionParser) -> None:
        self._parser = parser
        self.evaluator = Evaluator(parser, self._run_function)
        self._made: tuple[Any, ast.stmt] | None = None
        self._last_class: ast.ClassDef | None = None

    def read(self, statements: list[ast.stmt]) -> None:
        """Read the top level: classes, functions, constants and modules; other code there changes no shape."""
        scope = self.evaluator.global_scope
        for statement in statements:
            if isinstance(statement, ast.ClassDef):
                self._define(statement, scope)
                continue
            try:
                self._statement(statement, scope)
            except InputError as error:
                _break_names(statement, scope, error)
            except (_ReturnSignal, _LoopSignal):
                pass
            self._note_module(statement, scope)

    def module(self) -> tuple[Any, ast.stmt]:
        """The module whose forward() is read, and the statement that defines it."""
        if self._made is not None:
            return self._made
        if self._last_class is None:
            raise InputError(self._parser.source or "layers", "no module with a forward()", EXAMPLE)
        user_class = self.evaluator.global_scope.names[self._last_class.name]
        return self.evaluator.call_value(user_class, [], {}, self._last_class), self._last_class

    def _note_module(self, statement: ast.stmt, scope: "Scope") -> None:
        """Remember the last module that the top level makes from a class of its own."""
        match statement:
            case ast.Assign([ast.Name(name)]) | ast.AnnAssign(ast.Name(name)):
                value = scope.names.get(name)
            case _:
                return
        if has_user_class(value):
            self._made = value, statement
        elif isinstance(value, Broken) and _calls(statement, self._class_names()):
            raise value.error

    def _class_names(self) -> set[str]:
        names = self.evaluator.global_scope.names
        return {name for name, value in names.items() if isinstance(value, UserClass) and "forward" in value.methods}

    def _define(self, definition: ast.ClassDef, scope: "Scope") -> None:
        bases = [scope.names.get(ast.unparse(base)) for base in definition.bases]
        methods: dict[str, ast.FunctionDef] = {}
        inner = Scope({}, scope)
        external = [ast.unparse(base).rpartition(".")[2] for base in definition.bases]
        for base in bases[::-1]:
            if isinstance(base, UserClass):
                methods |= base.methods
                inner.names |= base.constants
                external += base.bases
        for member in definition.body:
            if isinstance(member, ast.FunctionDef):
                methods[member.name] = member
            elif isinstance(member, ast.Assign | ast.AnnAssign):
                try:
                    self._statement(member, inner)
                except InputError as error:
                    _break_names(member, inner, error)
        known = UserClass(definition.name, methods, inner.names, tuple(external))
        scope.names[definition.name] = known
        if "forward" in methods or "Sequential" in external:
            self._last_class = definition

    def _run_function(self, function: Function, scope: "Scope") -> Any:
        """The value that a function returns, None without a return."""
        try:
            self._block(function.definition.body, scope)
        except _ReturnSignal as signal:
            return signal.value
        if function.definition.name == "forward":
            raise self._parser.error(function.definition, "forward() returns nothing", "add a return")
        return None

    def _block(self, statements: list[ast.stmt], scope: "Scope") -> None:
        for statement in statements:
            if scope.is_init:
                self._init_statement(statement, scope)
            else:
                self._statement(statement, scope)

    def _init_statement(self, statement: ast.stmt, scope: "Scope") -> None:
        """A statement of `__init__`, where a value that is not supported is an error only if it is used."""
        try:
            self._statement(statement, scope)
        except InputError as error:
            if not isinstance(statement, ast.Assign | ast.AnnAssign) or not _break_names(statement, scope, error):
                raise

    def _statement(self, statement: ast.stmt, scope: "Scope") -> None:  # noqa: C901, PLR0912  # one for each kind
        self.evaluator.count_step(statement)
        evaluate = self.evaluator.value
        match statement:
            case ast.Import() | ast.ImportFrom():
                self.evaluator.bind_imports(statement, scope)
            case ast.FunctionDef():
                scope.names[statement.name] = Function(statement)
            case ast.Assign(targets, value):
                result = evaluate(value, scope)
                for target in targets:
                    self.evaluator.assign(target, result, scope)
            case ast.AnnAssign(target, value=ast.expr() as value):
                self.evaluator.assign(target, evaluate(value, scope), scope)
            case ast.AugAssign(target, operator, value):
                self._augmented(target, operator, evaluate(value, scope), scope)
            case ast.Return(value):
                raise _ReturnSignal(evaluate(value, scope) if value else None)
            case ast.Expr(value):
                evaluate(value, scope)
            case ast.If(test, body, orelse):
                self._block(body if self.evaluator.truth(test, scope) else orelse, scope)
            case ast.For(target, iterable, body, []):
                self._loop(target, self.evaluator.iterated(iterable, scope), body, scope)
            case ast.With(body=body):
                self._block(body, scope)
            case ast.Break() | ast.Continue():
                raise _LoopSignal(is_break=isinstance(statement, ast.Break))
            case ast.Raise():
                raise self.evaluator.unsupported(statement)
            case _ if isinstance(statement, _IGNORED):
                pass
            case _:
                raise self.evaluator.unsupported(statement)

    def _augmented(self, target: ast.expr, operator: ast.operator, right: Any, scope: "Scope") -> None:
        left = self.evaluator.value(target, scope)
        result = self.evaluator.operated(target, operator, left, right, is_inplace=True)
        self.evaluator.assign(target, result, scope)

    def _loop(self, target: ast.expr, items: Iterator[Any], body: list[ast.stmt], scope: "Scope") -> None:
        for item in items:
            self.evaluator.assign(target, item, scope)
            try:
                self._block(body, scope)
            except _LoopSignal as signal:
                if signal.is_break:
                    return


class _ReturnSignal(Exception):  # noqa: N818  # control flow of the code that is read, not an error
    def __init__(self, value: Any) -> None:
        self.value = value
        super().__init__()


class _LoopSignal(Exception):  # noqa: N818
    def __init__(self, *, is_break: bool) -> None:
        self.is_break = is_break
        super().__init__()


def _break_names(statement: ast.stmt, scope: "Scope", error: InputError) -> bool:
    """Give the names that a failed statement assigns a value that raises its error; false if it assigns none."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    names = [node for target in targets if target for node in ast.walk(target)]
    for node in names:
        match node:
            case ast.Attribute(ast.Name("self"), name) if isinstance(scope.names.get("self"), Instance):
                scope.names["self"].attributes[name] = Broken(error)
            case ast.Name(name) if name != "self":
                scope.names[name] = Broken(error)
    return bool(names)


def _calls(statement: ast.stmt, names: set[str]) -> bool:
    return any(isinstance(node, ast.Call) and ast.unparse(node.func) in names for node in ast.walk(statement))
