"""Layer lists in PyTorch's notation, from arguments and files, parsed with `ast` and never executed."""

import ast
import os
import re
import warnings
from collections.abc import Container, Iterator
from textwrap import dedent
from typing import NamedTuple

from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.layer_calls import EXAMPLE, SourceText, layers_of
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import read_file, read_stdin, user_path

MAX_FILE_BYTES = 2**20  # a thousand layers need 40 KB
_FILE_AND_MODULE = re.compile(r"(?P<file>[^():;,\n]+\.py)(?::(?P<module>[A-Za-z_].*))?", re.DOTALL)
_PLAIN_BASES = {"Module", "nn.Module", "torch.nn.Module"}


class LayerList(NamedTuple):
    """Layers that run one after the other.

    `is_code` is true where code passes on only the output of a recurrent layer, as `nn.Sequential` does not.
    """

    layers: tuple[Layer, ...]
    notes: tuple[str, ...] = ()
    is_code: bool = False


def parse_layers(text: str, source: str = "") -> tuple[Layer, ...]:
    """The layers of a text, as `parse_list` reads it.

    >>> [layer.text for layer in parse_layers("self.c = nn.Conv2d(1, 6, 5); nn.Sequential(nn.ReLU(), Flatten())")]
    ['Conv2d(1, 6, 5)', 'ReLU()', 'Flatten()']
    """
    return parse_list(text, source).layers


def parse_list(text: str, source: str = "") -> LayerList:
    """Parse layers: calls separated by `;`, commas or new lines; or a printed model.

    Accepted in lists are `nn.` prefixes, nested `nn.Sequential`, assignments, imports, and a class with an `__init__`
    alone. `Residual(...)` is dlnotes' own: it adds its input to the output of its layers. Anything else raises
    InputError with its line. `source` is the file in errors; without one, the error about a text of one line quotes it.
    """
    try:
        layers = _parsed(text, source)
    except (RecursionError, MemoryError) as error:
        raise InputError(source or "layers", "nested too deeply", EXAMPLE) from error
    if not layers.layers:
        raise InputError(source or "layers", "no layers", EXAMPLE)
    return layers


def _parsed(text: str, file: str) -> LayerList:
    if "): " in text:
        from dlnotes_cli.shapes.parsing.printed import NOTE, is_printed, printed_layers  # only printed models need it

        if is_printed(text):
            return LayerList(printed_layers(SourceText(text.splitlines(), file)), (NOTE,))
    source = SourceText(dedent(text).splitlines(), file)
    statements = _syntax_tree(source).body
    names = {node.name for node in statements if isinstance(node, ast.ClassDef)}
    targets = [ast.unparse(target) for node in statements if isinstance(node, ast.Assign) for target in node.targets]
    return LayerList(tuple(_block([node for node in statements if not _is_use(node, {*names, *targets})], source)))


def needs_run(text: str) -> bool:
    r"""Whether a text is Python code that says only when it runs which layers there are, as a class with a forward().

    >>> needs_run("class Net(nn.Module):\n  def forward(self, x): return x"), needs_run("net = nn.Sequential(ReLU())")
    (True, False)
    """
    try:
        statements = _syntax_tree(SourceText(dedent(text).splitlines())).body
    except (InputError, RecursionError, MemoryError):
        return False  # and parsing it as a list says what is wrong
    return any(map(_needs_run, statements))


def _needs_run(node: ast.stmt) -> bool:
    match node:
        case ast.ClassDef(bases=bases, body=body):
            return not {ast.unparse(base) for base in bases} <= _PLAIN_BASES or any(map(_needs_run, body))
        case ast.FunctionDef(name=name):
            return name != "__init__"
        case _:
            return isinstance(node, ast.For | ast.While | ast.If | ast.With | ast.Try)


def _block(statements: list[ast.stmt], source: SourceText) -> Iterator[Layer]:
    for node in statements:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(ast.Constant(str())):
                continue
            case ast.Expr(ast.Call(ast.Attribute(attr="__init__"))):  # of the base class
                continue
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


class Source(NamedTuple):
    """A text and where it is from: `file` is empty for an argument, `module` is what `net.py:Net(10)` names in it."""

    text: str
    file: str = ""
    module: str = ""

    @property
    def is_code(self) -> bool:
        """Whether it is Python code that must run to show its layers; an argument never is."""
        return bool(self.module) or (bool(self.file) and needs_run(self.text))

    @property
    def layers(self) -> LayerList:
        """The layers of a list or printed model; raises InputError for other text."""
        return parse_list(self.text, self.file)


def read_source(name: str) -> Source:
    """The text of a file, perhaps followed by a colon and a module, or of standard input for `-`; raises InputError."""
    found = _FILE_AND_MODULE.fullmatch(name)
    if found is None:
        return Source(*_read(name))
    return Source(*_read(found["file"]), found["module"] or "")


def is_file_name(text: str) -> bool:
    """Whether an argument names standard input or a file of code, and is no layer list itself."""
    if _FILE_AND_MODULE.fullmatch(text):
        return True
    if "(" in text or "\n" in text or text.isidentifier():
        return False
    return text == "-" or os.path.isfile(text)  # noqa: PTH113  # Path raises for long texts


def layers_text(text_or_name: str) -> str:
    """The text of a layer list: the argument itself, or the content of a file or, for `-`, of standard input.

    Raises InputError where it cannot be read or is not a layer list.
    """
    text, source = (text_or_name, "") if "(" in text_or_name else _read(text_or_name)
    parse_layers(text, source)
    return text


def _read(name: str) -> tuple[str, str]:
    """The text of a file or of standard input, and its name in errors."""
    source = "stdin" if name == "-" else str(user_path(name))
    shorter = "use a file with a layer list only"
    if name == "-":
        content = read_stdin(MAX_FILE_BYTES, shorter)
    else:
        instead = "use a file of PyTorch code, or - for standard input"
        content = read_file(user_path(name), MAX_FILE_BYTES, shorter, instead)
    try:
        return content.decode("utf-8-sig"), source
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{source}, line {line}", "not UTF-8 text", "use a file of PyTorch code") from error
