"""The text that is parsed, for errors that quote it and name its lines."""

import ast

from dlnotes_cli.shapes.layer import MAX_ERROR_CHARS, truncate
from dlnotes_cli.shell.errors import InputError

EXAMPLE = "list layers such as Conv2d(3, 10, 3)"


class SourceText:
    """Lines of code and the name of their file; without a name, the error about a single line quotes it."""

    def __init__(self, lines: list[str], file: str = "") -> None:
        self.lines = lines
        self.file = file

    def text(self, node: ast.AST) -> str:
        """The source text of a node on one line."""
        if isinstance(node, ast.expr) and node.end_lineno == node.lineno:
            line = self.lines[node.lineno - 1].encode()
            return line[node.col_offset : node.end_col_offset].decode()
        first = self.lines[getattr(node, "lineno", 1) - 1].strip()
        return ast.unparse(node) if isinstance(node, ast.expr) else first

    def location(self, node: ast.AST) -> str:
        """The file and line of a node, "" for a single line without a file."""
        line = f"line {getattr(node, 'lineno', 1)}" if self.file or len(self.lines) > 1 else ""
        return f"{self.file}, {line}" if self.file else line

    def error(self, node: ast.AST, what: str, fix: str) -> InputError:
        """The error about a node, with its location."""
        return InputError(self.location(node) or truncate(self.lines[0]), truncate(what, MAX_ERROR_CHARS), fix)
