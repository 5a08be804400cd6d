"""Statements of pasted code, and the functions and classes that they define."""

import ast
from typing import Any

from dlnotes_cli.shapes.parsing.calls import Calls
from dlnotes_cli.shapes.parsing.evaluation import Evaluator, bind_imports
from dlnotes_cli.shapes.parsing.expressions import Expressions
from dlnotes_cli.shapes.parsing.functions import bound_arguments
from dlnotes_cli.shapes.parsing.operators import operated
from dlnotes_cli.shapes.parsing.values import Broken, Function, Instance, Scope, UserClass
from dlnotes_cli.shell.errors import InputError

_IGNORED = ast.Pass | ast.Assert | ast.Global | ast.Nonlocal | ast.Delete


class Statements:
    """Runs statements in a scope, and functions with their arguments."""

    def __init__(self, evaluation: Evaluator) -> None:
        self.calls = Calls(evaluation, self._run_function)
        self._evaluation = evaluation
        self._expressions = Expressions(evaluation, self.calls)

    def run_at_top_level(self, statement: ast.stmt) -> None:
        """Run a statement outside classes and functions; what fails is an error only where its names are used."""
        scope = self._evaluation.top_level
        try:
            self._run(statement, scope)
        except InputError as error:
            _break_names(statement, scope, error)
        except (_ReturnSignal, _LoopSignal):
            pass

    def define_class(self, definition: ast.ClassDef) -> UserClass:
        """Give the name of a class its methods and constants, those of its bases included."""
        scope = self._evaluation.top_level
        methods: dict[str, ast.FunctionDef] = {}
        inner = Scope({}, scope)
        names = [ast.unparse(base) for base in definition.bases]
        known = (scope.names.get(name) for name in names)
        parents = tuple(base for base in known if isinstance(base, UserClass))
        bases = [name.rpartition(".")[2] for name in names]
        for base in reversed(parents):
            inner.names |= base.constants
            bases += base.bases
        for member in definition.body:
            if isinstance(member, ast.FunctionDef):
                methods[member.name] = member
            elif isinstance(member, ast.Assign | ast.AnnAssign):
                try:
                    self._run(member, inner)
                except InputError as error:
                    _break_names(member, inner, error)
        user_class = UserClass(definition.name, methods, inner.names, tuple(bases), parents)
        scope.names[definition.name] = user_class
        return user_class

    def _run_function(self, function: Function, positional: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        """The value that a function returns, None without a return."""
        evaluation, definition = self._evaluation, function.definition

        def default_value(default: ast.expr) -> Any:
            return self._expressions.value(default, function.scope or evaluation.top_level)

        bound = bound_arguments(evaluation, node, function, positional, keywords, default_value)
        try:
            self._run_block(definition.body, Scope(bound, function.scope or evaluation.top_level, function))
        except _ReturnSignal as signal:
            return signal.value
        if definition.name == "forward":
            raise evaluation.source.error(definition, "forward() returns nothing", "add a return")
        return None

    def _run_block(self, statements: list[ast.stmt], scope: Scope) -> None:
        for statement in statements:
            if scope.is_init:
                self._run_in_init(statement, scope)
            else:
                self._run(statement, scope)

    def _run_in_init(self, statement: ast.stmt, scope: Scope) -> None:
        """Run a statement of `__init__`, where a value that is not supported is an error only if it is used."""
        try:
            self._run(statement, scope)
        except InputError as error:
            if not isinstance(statement, ast.Assign | ast.AnnAssign) or not _break_names(statement, scope, error):
                raise

    def _run(self, statement: ast.stmt, scope: Scope) -> None:
        self._evaluation.count_step(statement)
        match statement:
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self._assign(statement, scope)
            case ast.Expr(value):
                self._expressions.value(value, scope)
            case ast.Return(value):
                raise _ReturnSignal(self._expressions.value(value, scope) if value else None)
            case ast.If() | ast.For() | ast.While() | ast.With() | ast.Break() | ast.Continue():
                self._control_flow(statement, scope)
            case ast.FunctionDef():
                scope.names[statement.name] = Function(statement, scope=scope)
            case ast.Import() | ast.ImportFrom():
                bind_imports(statement, scope)
            case _ if not isinstance(statement, _IGNORED):
                raise self._evaluation.unsupported(statement)

    def _assign(self, statement: ast.Assign | ast.AnnAssign | ast.AugAssign, scope: Scope) -> None:
        value_of, assign = self._expressions.value, self._expressions.assign
        match statement:
            case ast.Assign(targets, value):
                result = value_of(value, scope)
                for target in targets:
                    assign(target, result, scope)
            case ast.AnnAssign(target, value=ast.expr() as value):
                assign(target, value_of(value, scope), scope)
            case ast.AugAssign(target, operator, value):
                right = value_of(value, scope)
                left = value_of(target, scope)
                assign(target, operated(self._evaluation, target, operator, left, right, is_inplace=True), scope)

    def _control_flow(self, statement: ast.stmt, scope: Scope) -> None:
        match statement:
            case ast.If(test, body, orelse):
                self._run_block(body if self._expressions.truth(test, scope) else orelse, scope)
            case ast.For(target, iterable, body, []):
                for item in self._expressions.iterated(iterable, scope):
                    self._expressions.assign(target, item, scope)
                    if not self._run_loop_body(body, scope):
                        break
            case ast.While(test, body, []):
                while self._expressions.truth(test, scope) and self._run_loop_body(body, scope):
                    self._evaluation.count_step(statement)
            case ast.With(body=body):
                self._run_block(body, scope)
            case ast.Break() | ast.Continue():
                raise _LoopSignal(is_break=isinstance(statement, ast.Break))
            case _:  # a loop with an else
                raise self._evaluation.unsupported(statement)

    def _run_loop_body(self, body: list[ast.stmt], scope: Scope) -> bool:
        """Run the body of a loop once; false if the loop ends with it."""
        try:
            self._run_block(body, scope)
        except _LoopSignal as signal:
            return not signal.is_break
        return True


class _ReturnSignal(Exception):  # noqa: N818  # control flow of the code that is read, not an error
    def __init__(self, value: Any) -> None:
        self.value = value
        super().__init__()


class _LoopSignal(Exception):  # noqa: N818
    def __init__(self, *, is_break: bool) -> None:
        self.is_break = is_break
        super().__init__()


def _break_names(statement: ast.stmt, scope: Scope, error: InputError) -> bool:
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
