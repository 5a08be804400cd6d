"""The layers of a pasted module in the order of its forward(), which must be a chain of calls from input to result."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace

from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.constants import NotConstantError, constant
from dlnotes_cli.shapes.parsing.expressions import ExpressionParser
from dlnotes_cli.shell.errors import InputError

_FUNCTION_MODULES = {"F", "torch", "nn.functional", "torch.nn.functional"}
_POOLS = {f"{kind}_pool{rank}d": f"{name}Pool{rank}d" for kind, name in (("max", "Max"), ("avg", "Avg"),
          ("adaptive_avg", "AdaptiveAvg"), ("adaptive_max", "AdaptiveMax")) for rank in (1, 2, 3)}  # fmt: skip
_LAYER_OF_FUNCTION = {  # functions with the arguments of their layer, after the input
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "LeakyReLU", "elu": "ELU", "selu": "SELU", "gelu": "GELU",
    "silu": "SiLU", "mish": "Mish", "tanh": "Tanh", "sigmoid": "Sigmoid", "softplus": "Softplus", "softmax": "Softmax",
    "log_softmax": "LogSoftmax", **_POOLS,
}  # fmt: skip
_SHARED_POSITIONS = 4  # positional arguments that max_pool2d and MaxPool2d have in common
_FIX = "list the layers in the order in which they run"


def forward_layers(parser: ExpressionParser, methods: Mapping[str, ast.FunctionDef]) -> Iterator[Layer]:
    """Yield the layers that `forward` runs, each as `__init__` makes it.

    Accepted are assignments and a return of calls: layers of `self`, functions such as `F.relu`, and `flatten`, `view`
    or `reshape` to one row for each sample. Anything else, skip connections too, raises InputError with its line.
    """
    attributes = _attributes(parser, methods["__init__"]) if "__init__" in methods else {}
    return _ForwardParser(parser, attributes).body(methods["forward"])


def _attributes(parser: ExpressionParser, init: ast.FunctionDef) -> dict[str, ast.expr]:
    """The expressions that `__init__` assigns to `self`, by attribute name."""
    attributes: dict[str, ast.expr] = {}
    for statement in init.body:
        match statement:
            case ast.Assign([ast.Attribute(ast.Name("self"), name)], value):
                attributes[name] = value
            case ast.AnnAssign(ast.Attribute(ast.Name("self"), name), value=ast.expr() as value):
                attributes[name] = value
            case ast.Assign() | ast.AnnAssign() | ast.Expr() | ast.Pass():
                pass
            case _:
                raise parser.error(statement, f"'{parser.text(statement)}' is not supported", _FIX)
    return attributes


class _ForwardParser:
    """Follows one tensor through the statements of forward()."""

    def __init__(self, parser: ExpressionParser, attributes: Mapping[str, ast.expr]) -> None:
        self._parser, self._attributes = parser, attributes
        self._layers: dict[str, tuple[Layer, ...]] = {}  # parsed once: a layer that runs twice is the same object
        self._tensor = ""  # the variable that holds the latest result

    def body(self, forward: ast.FunctionDef) -> Iterator[Layer]:
        """Yield the layers of the statements up to the return."""
        names = [argument.arg for argument in forward.args.args]
        self._tensor = names[1] if len(names) > 1 else ""
        for statement in forward.body:
            match statement:
                case ast.Expr(ast.Constant(str())) | ast.Pass():
                    pass
                case ast.Assign([ast.Name(name)], value):
                    yield from self._calls(value)
                    self._tensor = name
                case ast.Return(ast.expr() as value):
                    yield from self._calls(value)
                    return
                case _:
                    raise self._unsupported(statement)
        raise self._parser.error(forward, "forward() returns nothing", _FIX)

    def _calls(self, node: ast.expr) -> Iterator[Layer]:
        """Yield the layers of nested calls, the innermost first."""
        match node:
            case ast.Name(name) if name == self._tensor:
                return
            case ast.Call(ast.Attribute(ast.Name("self"), name), [inner], []) if name in self._attributes:
                yield from self._calls(inner)
                if name not in self._layers:
                    self._layers[name] = tuple(self._parser.layers(self._attributes[name]))
                yield from self._layers[name]
            case ast.Call(ast.Attribute(module, name), [inner, *positional], keywords) if (
                ast.unparse(module) in _FUNCTION_MODULES
            ):
                yield from self._calls(inner)
                yield self._function(node, name, positional, keywords)
            case ast.Call(ast.Attribute(inner, "flatten"), positional, keywords):
                yield from self._calls(inner)
                yield self._function(node, "flatten", positional, keywords)
            case ast.Call(ast.Attribute(inner, "view" | "reshape"), [rows, columns], []):
                yield from self._calls(inner)
                yield self._view(node, rows, columns)
            case _:
                raise self._unsupported(node)

    def _function(self, node: ast.expr, name: str, positional: list[ast.expr], keywords: list[ast.keyword]) -> Layer:
        """The layer with the same effect as a function."""
        if name == "dropout":
            keywords = [keyword for keyword in keywords if keyword.arg == "p"]
            return self._layer("Dropout", node, positional[:1], keywords)
        if name == "flatten":  # nn.Flatten starts at dimension 1, the function at 0, the batch
            has_start = positional or any(keyword.arg == "start_dim" for keyword in keywords)
            return self._layer("Flatten", node, positional if has_start else [ast.Constant(0)], keywords)
        if name not in _LAYER_OF_FUNCTION or len(positional) > _SHARED_POSITIONS:
            raise self._unsupported(node)
        return self._layer(_LAYER_OF_FUNCTION[name], node, positional, keywords)

    def _layer(self, name: str, node: ast.expr, positional: list[ast.expr], keywords: list[ast.keyword]) -> Layer:
        """A layer whose text is its own call, not the function's."""
        layer = self._parser.layer(node, name, positional, keywords)
        arguments = [*map(ast.unparse, positional), *(f"{k.arg}={ast.unparse(k.value)}" for k in keywords)]
        return replace(layer, text=f"{name}({', '.join(arguments)})")

    def _view(self, node: ast.expr, rows: ast.expr, columns: ast.expr) -> Layer:
        """`view(-1, columns)`: one row for each sample."""
        sizes = [ast.unparse(rows), ast.unparse(columns)]
        batch_sizes = {f"{self._tensor}.size(0)", f"{self._tensor}.shape[0]", f"{self._tensor}.size()[0]"}
        if sizes[0] not in {"-1", *batch_sizes}:
            raise self._unsupported(node)
        try:
            width = constant(columns)
        except NotConstantError as error:
            raise self._unsupported(node) from error
        output = None if width == -1 and sizes[0] != "-1" else (width,)
        text, location = f"view({', '.join(sizes)})", self._parser.location(node)
        return Layer("Flatten", text=text, location=location, expected_output=output)

    def _unsupported(self, node: ast.AST) -> InputError:
        return self._parser.error(node, f"'{self._parser.text(node)}' in forward() is not supported", _FIX)
