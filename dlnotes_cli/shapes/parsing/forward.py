"""The layers of a pasted module in the order of its forward(), where that is one line from its input to its result."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.constants import NotConstantError, constant
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from dlnotes_cli.shapes.parsing.parser import Reader

_FUNCTIONS = {"F", "torch", "nn.functional", "torch.nn.functional"}
_POOLS = {f"{kind}_pool{rank}d": f"{name}Pool{rank}d" for kind, name in (("max", "Max"), ("avg", "Avg"),
          ("adaptive_avg", "AdaptiveAvg"), ("adaptive_max", "AdaptiveMax")) for rank in (1, 2, 3)}  # fmt: skip
_LAYERS = {  # functions that take what their layer takes, after the input
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "LeakyReLU", "elu": "ELU", "selu": "SELU", "gelu": "GELU",
    "silu": "SiLU", "mish": "Mish", "tanh": "Tanh", "sigmoid": "Sigmoid", "softplus": "Softplus", "softmax": "Softmax",
    "log_softmax": "LogSoftmax", **_POOLS,
}  # fmt: skip
_SAME_PLACES = 4  # arguments by position that max_pool2d and MaxPool2d have in common
_FIX = "list the layers as they run"


def forward_layers(reader: "Reader", methods: Mapping[str, ast.FunctionDef]) -> Iterator[Layer]:
    """Yield the layers that `forward` runs, each as `__init__` made it.

    Understood are assignments and a return of calls: layers of `self`, functions such as `F.relu`, and
    `flatten`, `view` or `reshape` to a row for each sample. Anything else raises InputError with its line, skip
    connections too.
    """
    made = _made(reader, methods["__init__"]) if "__init__" in methods else {}
    return _Run(reader, made).through_body(methods["forward"])


def _made(reader: "Reader", method: ast.FunctionDef) -> dict[str, ast.expr]:
    """What `__init__` assigns to `self`, by name."""
    found: dict[str, ast.expr] = {}
    for statement in method.body:
        match statement:
            case ast.Assign([ast.Attribute(ast.Name("self"), name)], value):
                found[name] = value
            case ast.AnnAssign(ast.Attribute(ast.Name("self"), name), value=ast.expr() as value):
                found[name] = value
            case ast.Assign() | ast.AnnAssign() | ast.Expr() | ast.Pass():
                pass
            case _:
                raise reader.error(statement, f"'{reader.text(statement)}' is not read", _FIX)
    return found


class _Run:
    """Follows one value through the statements of forward()."""

    def __init__(self, reader: "Reader", made: Mapping[str, ast.expr]) -> None:
        self._reader, self._made = reader, made
        self._layers: dict[str, tuple[Layer, ...]] = {}  # read once, so that a layer that runs twice is one object
        self._value = ""  # the name that holds what has been computed so far

    def through_body(self, forward: ast.FunctionDef) -> Iterator[Layer]:
        names = [argument.arg for argument in forward.args.args]
        self._value = names[1] if len(names) > 1 else ""
        for statement in forward.body:
            match statement:
                case ast.Expr(ast.Constant(str())) | ast.Pass():
                    pass
                case ast.Assign([ast.Name(name)], value):
                    yield from self._through(value)
                    self._value = name
                case ast.Return(ast.expr() as value):
                    yield from self._through(value)
                    return
                case _:
                    raise self._unread(statement)
        raise self._reader.error(forward, "forward() returns nothing", _FIX)

    def _through(self, node: ast.expr) -> Iterator[Layer]:
        match node:
            case ast.Name(name) if name == self._value:
                return
            case ast.Call(ast.Attribute(ast.Name("self"), name), [inner], []) if name in self._made:
                yield from self._through(inner)
                if name not in self._layers:
                    self._layers[name] = tuple(self._reader.expression(self._made[name]))
                yield from self._layers[name]
            case ast.Call(ast.Attribute(module, name), [inner, *rest], words) if ast.unparse(module) in _FUNCTIONS:
                yield from self._through(inner)
                yield self._function(node, name, rest, words)
            case ast.Call(ast.Attribute(inner, "flatten"), positional, words):
                yield from self._through(inner)
                yield self._function(node, "flatten", positional, words)
            case ast.Call(ast.Attribute(inner, "view" | "reshape"), [rows, columns], []):
                yield from self._through(inner)
                yield self._rows(node, rows, columns)
            case _:
                raise self._unread(node)

    def _function(self, node: ast.expr, name: str, rest: list[ast.expr], words: list[ast.keyword]) -> Layer:
        if name == "dropout":
            return self._named("Dropout", node, rest[:1], [word for word in words if word.arg == "p"])
        if name == "flatten":  # the layer starts at 1, the function at the batch
            starts = [] if rest or any(word.arg == "start_dim" for word in words) else [ast.Constant(0)]
            return self._named("Flatten", node, [*starts, *rest], words)
        if name not in _LAYERS or len(rest) > _SAME_PLACES:
            raise self._unread(node)
        return self._named(_LAYERS[name], node, rest, words)

    def _named(self, name: str, node: ast.expr, rest: list[ast.expr], words: list[ast.keyword]) -> Layer:
        """The layer that does what a function does, written out as a layer."""
        layer = self._reader.layer(node, name, rest, words)
        arguments = [*map(ast.unparse, rest), *(f"{word.arg}={ast.unparse(word.value)}" for word in words)]
        return replace(layer, text=f"{name}({', '.join(arguments)})")

    def _rows(self, node: ast.expr, rows: ast.expr, columns: ast.expr) -> Layer:
        """`view(-1, columns)`: one row for each sample."""
        written = [ast.unparse(rows), ast.unparse(columns)]
        if written[0] not in {"-1", f"{self._value}.size(0)", f"{self._value}.shape[0]", f"{self._value}.size()[0]"}:
            raise self._unread(node)
        try:
            width = constant(columns)
        except NotConstantError as error:
            raise self._unread(node) from error
        wanted = None if width == -1 and written[0] != "-1" else (width,)
        return Layer("Flatten", text=f"view({', '.join(written)})", place=self._reader.place(node), wanted=wanted)

    def _unread(self, node: ast.AST) -> InputError:
        return self._reader.error(node, f"'{self._reader.text(node)}' in forward() is not read", _FIX)
