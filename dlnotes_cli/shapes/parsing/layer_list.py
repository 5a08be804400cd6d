"""Layer lists in PyTorch's notation, parsed with `ast` and never executed."""

import ast
import warnings
from collections.abc import Container, Iterator
from textwrap import dedent

from dlnotes_cli.shapes.graph import Network
from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.expressions import EXAMPLE, ExpressionParser
from dlnotes_cli.shell.errors import InputError


def parse_layers(text: str, source: str = "") -> tuple[Layer, ...]:
    """Parse a layer list, as `parse_network` does; raises InputError for a network with branches.

    >>> [layer.text for layer in parse_layers("self.c = nn.Conv2d(1, 6, 5); nn.Sequential(nn.ReLU(), Flatten())")]
    ['Conv2d(1, 6, 5)', 'ReLU()', 'Flatten()']
    """
    return parse_network(text, source).as_list()


def parse_network(text: str, source: str = "") -> Network:
    """Parse layers: calls separated by `;`, commas or new lines; classes with a forward(); printed models.

    Accepted in lists are `nn.` prefixes, nested `nn.Sequential`, assignments, imports, and a class with an `__init__`
    alone. `Residual(...)` is dlnotes' own: it adds its input to the output of its layers. A forward() may have
    branches, and becomes a graph. Anything else raises InputError with its line. `source` is the file in errors;
    without one, the error about a text of one line quotes it.
    """
    parser = ExpressionParser(text.splitlines(), source)
    try:
        network = _network(text, parser)
    except (RecursionError, MemoryError) as error:
        raise InputError(source or "layers", "nested too deeply", EXAMPLE) from error
    if not network.nodes:
        raise InputError(source or "layers", "no layers", EXAMPLE)
    return network


def _network(text: str, parser: ExpressionParser) -> Network:
    if "): " in text:
        from dlnotes_cli.shapes.parsing.printed import is_printed, printed_network  # only printed models need it

        if is_printed(text):
            return printed_network(parser)
    statements = _syntax_tree(text, parser).body
    classes = [node for node in statements if isinstance(node, ast.ClassDef)]
    if any(_is_forward(member) for one in classes for member in one.body) or any(map(_is_forward, statements)):
        from dlnotes_cli.shapes.parsing.forward import forward_network  # only pasted classes need it

        return forward_network(parser, statements)
    names = {one.name for one in classes}
    return Network.of_list(_block([node for node in statements if not _is_use(node, names)], parser))


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


def _is_use(node: ast.stmt, classes: Container[str]) -> bool:
    """Whether a statement prints, or makes an instance of a class of the text, whose layers are listed in it."""
    call = getattr(node, "value", None)
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and (call.func.id == "print" or call.func.id in classes)
    )
