"""The graph of pasted modules: `__init__` and `forward` are read statement by statement, and nothing is executed.

Numbers, lists and modules have values while the code is read; tensors stand for nodes of the graph. What has no value,
such as a second input, is an error only where a shape depends on it.
"""

import ast
from collections.abc import Container
from typing import Any

from dlnotes_cli.shapes.graph import Network
from dlnotes_cli.shapes.parsing.evaluation import Evaluator
from dlnotes_cli.shapes.parsing.source_text import EXAMPLE, SourceText
from dlnotes_cli.shapes.parsing.statements import Statements
from dlnotes_cli.shapes.parsing.tensor_graph import input_tensor
from dlnotes_cli.shapes.parsing.values import Broken, UserClass, has_user_class
from dlnotes_cli.shell.errors import InputError


def forward_network(source: SourceText, statements: list[ast.stmt]) -> Network:
    """The graph of the module that a text defines: the last one that it makes, else an instance of its last class.

    Raises InputError with its line for code that the result depends on and that is not supported.
    """
    evaluation = Evaluator(source)
    module_code = _ModuleCode(evaluation)
    try:
        module_code.run(statements)
        module, node = module_code.module()
        result = module_code.statements.calls.call_module(module, [input_tensor()], {}, node)
        return Network(evaluation.graph.finish(result, node), is_code=True)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:  # as Python would raise
        raise evaluation.unsupported(evaluation.last_node) from error


class _ModuleCode:
    """The top level of a text: classes, functions, constants and modules; other code there changes no shape."""

    def __init__(self, evaluation: Evaluator) -> None:
        self.statements = Statements(evaluation)
        self._evaluation = evaluation
        self._assignments: dict[str, ast.stmt] = {}  # in their order, the last of each name
        self._last_class: tuple[UserClass, ast.stmt] | None = None

    def run(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            if isinstance(statement, ast.ClassDef):
                user_class = self.statements.define_class(statement)
                if user_class.method("forward") or "Sequential" in user_class.bases:
                    self._last_class = user_class, statement
            else:
                self.statements.run_at_top_level(statement)
                self._note_assignment(statement)

    def module(self) -> tuple[Any, ast.stmt]:
        """The module whose forward() is read, and the statement that defines it."""
        names = self._evaluation.top_level.names
        for name, statement in reversed(self._assignments.items()):
            if has_user_class(names.get(name)):
                return names[name], statement
        if self._last_class is None:
            raise InputError(self._evaluation.source.file or "layers", "no module with a forward()", EXAMPLE)
        user_class, definition = self._last_class
        return self.statements.calls.call_user_code(user_class, [], {}, definition), definition

    def _note_assignment(self, statement: ast.stmt) -> None:
        """Remember a name that gets a value, which may be a module; raise the error of a module that is none."""
        match statement:
            case ast.Assign([ast.Name(name)]) | ast.AnnAssign(ast.Name(name)):
                value = self._evaluation.top_level.names.get(name)
                self._assignments.pop(name, None)
                self._assignments[name] = statement
                if isinstance(value, Broken) and _calls(statement, self._class_names()):
                    raise value.error

    def _class_names(self) -> set[str]:
        names = self._evaluation.top_level.names
        return {name for name, value in names.items() if isinstance(value, UserClass) and value.method("forward")}


def _calls(statement: ast.stmt, names: Container[str]) -> bool:
    return any(isinstance(node, ast.Call) and ast.unparse(node.func) in names for node in ast.walk(statement))
