"""Layer lists in PyTorch's notation, parsed with `ast` and never executed."""

import ast
import warnings
from collections.abc import Container, Iterator
from textwrap import dedent

from dlnotes_cli.shapes.graph import Network
from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.layer_calls import layers_of
from dlnotes_cli.shapes.parsing.source_text import EXAMPLE, SourceText
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
    try:
        network = _network(text, source)
    except (RecursionError, MemoryError) as error:
        raise InputError(source or "layers", "nested too deeply", EXAMPLE) from error
    if not network.nodes:
        raise InputError(source or "layers", "no layers", EXAMPLE)
    return network


def _network(text: str, file: str) -> Network:
    if "): " in text:
        from dlnotes_cli.shapes.parsing.printed import is_printed, printed_network  # only printed models need it

        if is_printed(text):
            return printed_network(SourceText(text.splitlines(), file))
    source = SourceText(dedent(text).splitlines(), file)
    statements = _syntax_tree(source).body
    classes = [node for node in statements if isinstance(node, ast.ClassDef)]
    if any(_is_forward(member) for one in classes for member in one.body) or any(map(_is_forward, statements)):
        from dlnotes_cli.shapes.parsing.forward import forward_network  # only pasted classes need it

        return forward_network(source, statements)
    names = {one.name for one in classes} | set(_assigned_names(statements))
    return Network.of_list(_block([node for node in statements if not _is_use(node, names)], source))


def _block(statements: list[ast.stmt], source: SourceText) -> Iterator[Layer]:
    for statement in statements:
        yield from _statement(statement, source)


def _statement(node: ast.stmt, source: SourceText) -> Iterator[Layer]:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(ast.Constant(str())):
            return
        case ast.Expr(value) if _is_super_call(value):
            return
        case ast.Expr(value) | ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            yield from layers_of(value, source)
        case ast.ClassDef(body=body) | ast.FunctionDef(name="__init__", body=body):
            yield from _block(body, source)
        case ast.FunctionDef(name=name):
            what = f"the order of layers in {name}() is not known"
            raise source.error(node, what, "list them in the order in which they run")
        case _:
            raise source.error(node, f"'{source.text(node)}' is not a layer", EXAMPLE)


def _syntax_tree(source: SourceText) -> ast.Module:
    """The syntax tree of a text.

    Where the indentation is inconsistent, as where the first line was copied without its own, all of it is removed,
    from the lines of `source` too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            try:
                return ast.parse("\n".join(source.lines))
            except IndentationError:
                source.lines = [line.lstrip() for line in source.lines]
                return ast.parse("\n".join(source.lines))
        except SyntaxError as error:
            line = ast.Pass(lineno=min(error.lineno or 1, max(len(source.lines), 1)))
            raise source.error(line, f"not a layer list: {error.msg}", EXAMPLE) from error
        except ValueError as error:
            raise InputError(source.file or "layers", f"not a layer list: {error}", EXAMPLE) from error


def _is_super_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith("__init__")


def _is_forward(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "forward"


def _is_use(node: ast.stmt, names: Container[str]) -> bool:
    """Whether a statement prints, or uses a class or a name of the text, whose layers are listed where it is made."""
    match node:
        case ast.Expr(ast.Call(ast.Name("print"))):
            return True
        case ast.Expr(value) | ast.Assign(value=value) | ast.AnnAssign(value=value):
            used = value.func if isinstance(value, ast.Call) else value
            return isinstance(used, ast.Name) and used.id in names
        case _:
            return False


def _assigned_names(statements: list[ast.stmt]) -> Iterator[str]:
    for node in statements:
        match node:
            case ast.Assign([ast.Name(name)]) | ast.AnnAssign(ast.Name(name)):
                yield name
