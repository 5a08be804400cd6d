"""What the parts of an evaluation share: the code, the graph so far, names, and how much has run."""

import ast
from typing import Any

from dlnotes_cli.shapes.parsing.source_text import SourceText
from dlnotes_cli.shapes.parsing.tensor_calls import TensorCalls
from dlnotes_cli.shapes.parsing.tensor_graph import SUPPORTED, TensorGraph
from dlnotes_cli.shapes.parsing.values import External, Opaque, Scope
from dlnotes_cli.shell.errors import InputError

MAX_STEPS = 200_000  # statements and items of loops; torchvision's largest networks need a few thousand
MAX_ITEMS = 10_000  # in a list


class Evaluator:
    """The state of one evaluation; `last_node` is what was read last, for errors."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.graph = TensorGraph(source)
        self.tensors = TensorCalls(self.graph, source)
        self.top_level = Scope({"nn": External("torch.nn"), "F": External("torch.nn.functional"),
                                "torch": External("torch"), "__name__": "__main__"})  # fmt: skip
        self.last_node: ast.AST = ast.Pass(lineno=1)
        self._steps = 0

    def count_step(self, node: ast.AST) -> None:
        """Raise InputError where the code has run for too many steps."""
        self.last_node = node
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise self.source.error(node, "the code takes too many steps", "write fewer layers")

    def check_size(self, node: ast.AST, *values: Any) -> None:
        """Raise InputError for lists that have too many items, those of lists inside them included."""
        count, waiting = 0, list(values)
        while waiting:
            value = waiting.pop()
            if isinstance(value, list | tuple | dict):
                count += len(value)
                if count > MAX_ITEMS:
                    raise self.too_long(node)
                waiting += [*value, *value.values()] if isinstance(value, dict) else value

    def opaque(self, node: ast.AST) -> Opaque:
        """An expression without a value, which errors quote."""
        return Opaque(f"'{self.source.text(node)}'")

    def unsupported(self, node: ast.AST) -> InputError:
        """The error for code that is not supported."""
        return self.source.error(node, f"'{self.source.text(node)}' is not supported", SUPPORTED)

    def too_long(self, node: ast.AST) -> InputError:
        """The error for a list with too many items."""
        return self.source.error(node, "makes a list that is too long", f"use at most {MAX_ITEMS:,} items")


def bind_imports(statement: ast.Import | ast.ImportFrom, scope: Scope) -> None:
    """Give imported names their dotted names."""
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            scope.names.setdefault(alias.asname or alias.name, External(f"{statement.module}.{alias.name}"))
        elif alias.asname:
            scope.names[alias.asname] = External(alias.name)
        else:
            root = alias.name.partition(".")[0]
            scope.names[root] = External(root)
