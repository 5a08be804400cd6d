"""Layer lists in PyTorch's notation, parsed with `ast` and never executed."""

import ast
import warnings
from collections.abc import Iterator
from textwrap import dedent

from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.expressions import EXAMPLE, ExpressionParser
from dlnotes_cli.shell.errors import InputError


def parse_layers(text: str, source: str = "") -> tuple[Layer, ...]:
    """Parse a layer list: calls separated by `;`, commas or new lines.

    Accepted are `nn.` prefixes, nested `nn.Sequential`, assignments, imports, and a class with an `__init__` alone or
    with a `forward` that is a chain of calls from its input to its result. `Residual(...)` is dlnotes' own: it adds its
    input to the output of its layers. Anything else raises InputError with its line. `source` is the file in errors;
    without one, the error about a text of one line quotes it.

    >>> [layer.text for layer in parse_layers("self.c = nn.Conv2d(1, 6, 5); nn.Sequential(nn.ReLU(), Flatten())")]
    ['Conv2d(1, 6, 5)', 'ReLU()', 'Flatten()']
    """
    parser = ExpressionParser(text.splitlines(), source)
    try:
        layers = tuple(_block(_syntax_tree(text, parser).body, parser))
    except (RecursionError, MemoryError) as error:
        raise InputError(source or "layers", "nested too deeply", EXAMPLE) from error
    if not layers:
        raise InputError(source or "layers", "no layers", EXAMPLE)
    return layers


def _block(statements: list[ast.stmt], parser: ExpressionParser) -> Iterator[Layer]:
    for statement in statements:
        yield from _statement(statement, parser)


def _statement(node: ast.stmt, parser: ExpressionParser) -> Iterator[Layer]:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(ast.Constant(str())):
            return
        case ast.Expr(value) if _is_super_call(value):
            return
        case ast.Expr(value) | ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            yield from parser.layers(value)
        case ast.ClassDef(body=body) if any(map(_is_forward, body)):
            from dlnotes_cli.shapes.parsing.forward import forward_layers  # only pasted classes need it

            methods = {member.name: member for member in body if isinstance(member, ast.FunctionDef)}
            yield from forward_layers(parser, methods)
        case ast.ClassDef(body=body) | ast.FunctionDef(name="__init__", body=body):
            yield from _block(body, parser)
        case ast.FunctionDef(name=name):
            what = f"the order of layers in {name}() is not known"
            raise parser.error(node, what, "list them in the order in which they run")
        case _:
            raise parser.error(node, f"'{parser.text(node)}' is not a layer", EXAMPLE)


def _syntax_tree(text: str, parser: ExpressionParser) -> ast.Module:
    """The syntax tree of a text; sets the parser's lines to those that were parsed.

    Where the indentation is inconsistent, as where the first line was copied without its own, all of it is removed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parser.lines[:] = dedent(text).splitlines()
            try:
                return ast.parse("\n".join(parser.lines))
            except IndentationError:
                parser.lines[:] = [line.lstrip() for line in parser.lines]
                return ast.parse("\n".join(parser.lines))
        except SyntaxError as error:
            line = ast.Pass(lineno=min(error.lineno or 1, max(len(parser.lines), 1)))
            raise parser.error(line, f"not a layer list: {error.msg}", EXAMPLE) from error
        except ValueError as error:
            raise InputError(parser.source or "layers", f"not a layer list: {error}", EXAMPLE) from error


def _is_super_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith("__init__")


def _is_forward(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "forward"
