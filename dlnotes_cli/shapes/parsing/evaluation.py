"""Expressions of pasted code as values: numbers, lists, modules, and tensors of the graph."""

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dlnotes_cli.shapes.graph import Deferred, ShapeOf
from dlnotes_cli.shapes.layer import RESIDUAL, Layer
from dlnotes_cli.shapes.parsing.constants import NotConstantError, compute
from dlnotes_cli.shapes.parsing.expressions import ExpressionParser
from dlnotes_cli.shapes.parsing.tensors import RECURRENT, SUPPORTED, TensorGraph, with_arguments
from dlnotes_cli.shapes.parsing.values import (
    Broken,
    Container,
    External,
    Function,
    Instance,
    Method,
    Opaque,
    State,
    Tensor,
    UserClass,
    contents,
    is_module,
)
from dlnotes_cli.shapes.rules.layer_types import layer_types
from dlnotes_cli.shell.errors import InputError

MAX_STEPS = 200_000  # statements and items of loops; torchvision's largest networks need a few thousand
MAX_ITEMS = 10_000  # in a list
_CONTAINERS = {"Sequential", "ModuleList", "ModuleDict"}
_UNCHANGED = {"to", "cuda", "cpu", "eval", "train", "float", "double", "half", "requires_grad_", "apply", "compile"}
_INSPECTIONS = {"parameters", "modules", "children", "named_parameters", "named_modules", "named_children", "buffers"}
_MODULE_FUNCTIONS = ("torch.", "torch.nn.functional.", "torch.nn.init.", "torch.special.", "torch.nn.utils.")
_FACTORIES = {"zeros", "ones", "randn", "rand", "arange", "tensor", "empty", "full", "device", "manual_seed", "randint"}
_OUTSIDE = {"DataParallel", "compile"}  # calls that return their module
_SIZE_OPERATORS: dict[type[ast.operator], Callable[..., Any]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Div: lambda left, right: left / right,
    ast.Mod: lambda left, right: left % right,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: lambda left, right: left == right,
    ast.NotEq: lambda left, right: left != right,
    ast.Lt: lambda left, right: left < right,
    ast.LtE: lambda left, right: left <= right,
    ast.Gt: lambda left, right: left > right,
    ast.GtE: lambda left, right: left >= right,
    ast.Is: lambda left, right: left is right,
    ast.IsNot: lambda left, right: left is not right,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
_BUILTINS: dict[str, Callable[..., Any]] = {
    "range": range, "len": len, "int": int, "float": float, "list": list, "tuple": tuple, "enumerate": enumerate,
    "zip": zip, "max": max, "min": min, "sum": sum, "reversed": reversed, "abs": abs, "bool": bool, "str": str,
    "round": round, "dict": dict, "all": all, "any": any,
}  # fmt: skip
_UNKNOWN = Opaque | Broken | Deferred | ShapeOf | Tensor | State


@dataclass
class Scope:
    """Names and their values, those of the top level behind them; `is_init` is true inside `__init__`."""

    names: dict[str, Any]
    outer: "Scope | None" = None
    is_init: bool = False


class Evaluator:
    """Evaluates expressions; `run_function` runs the body of a function of the pasted code in a scope."""

    def __init__(self, parser: ExpressionParser, run_function: Callable[[Function, Scope], Any]) -> None:
        self.graph = TensorGraph(parser)
        self.global_scope = Scope({"nn": External("torch.nn"), "F": External("torch.nn.functional"),
                                   "torch": External("torch"), "__name__": "__main__"})  # fmt: skip
        self._parser, self._run_function = parser, run_function
        self._steps = 0
        self.last: ast.AST = ast.Pass(lineno=1)  # what was read last, for errors

    def count_step(self, node: ast.AST) -> None:
        """Raise InputError where the code has run for too many steps."""
        self.last = node
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise self._parser.error(node, "the code takes too many steps", "write fewer layers")

    def unsupported(self, node: ast.AST) -> InputError:
        """The error for code that is not supported."""
        return self._parser.error(node, f"'{self._parser.text(node)}' is not supported", SUPPORTED)

    def bind_imports(self, statement: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        """Give imported names their dotted names."""
        for alias in statement.names:
            if isinstance(statement, ast.ImportFrom):
                scope.names.setdefault(alias.asname or alias.name, External(f"{statement.module}.{alias.name}"))
            elif alias.asname:
                scope.names[alias.asname] = External(alias.name)
            else:
                root = alias.name.partition(".")[0]
                scope.names[root] = External(root)

    def value(self, node: ast.expr, scope: Scope) -> Any:
        """The value of an expression; raises InputError where it is not supported or has none."""
        result = self._value(node, scope)
        if isinstance(result, Broken):
            raise result.error
        return result

    def _value(self, node: ast.expr, scope: Scope) -> Any:  # noqa: PLR0911  # one for each kind of expression
        match node:
            case ast.Constant(value):
                return value
            case ast.Name(name):
                return self._name(node, name, scope)
            case ast.Attribute(owner, name):
                return self._attribute(node, self.value(owner, scope), name)
            case ast.Call():
                return self._call(node, scope)
            case ast.BinOp(left, operator, right):
                return self.operated(node, operator, self.value(left, scope), self.value(right, scope))
            case ast.Subscript(owner, index):
                return self._subscript(node, self.value(owner, scope), index, scope)
            case ast.Tuple(elements):
                return tuple(self._elements(elements, scope))
            case ast.List(elements):
                return list(self._elements(elements, scope))
            case _:
                return self._other_value(node, scope)

    def _other_value(self, node: ast.expr, scope: Scope) -> Any:  # noqa: PLR0911  # likewise
        match node:
            case ast.Dict(keys, values) if all(keys):
                return {self.value(k, scope): self.value(v, scope) for k, v in zip(keys, values, strict=True) if k}
            case ast.UnaryOp(ast.Not(), operand):
                return not self.truth(operand, scope)
            case ast.UnaryOp(operator, operand):
                return self._negated(node, operator, self.value(operand, scope))
            case ast.BoolOp(operator, values):
                return self._any_or_all(operator, values, scope)
            case ast.Compare(left, operators, comparators):
                return self._compared(node, [left, *comparators], operators, scope)
            case ast.IfExp(test, body, orelse):
                return self.value(body if self.truth(test, scope) else orelse, scope)
            case ast.ListComp(element, [generator]) | ast.GeneratorExp(element, [generator]):
                return self._comprehension(element, generator, scope)
            case ast.JoinedStr(parts):
                return "".join(str(self.value(part, scope)) for part in parts)
            case ast.FormattedValue(value):
                return self.value(value, scope)
            case _:
                raise self.unsupported(node)

    def truth(self, test: ast.expr, scope: Scope) -> bool:
        """Whether a condition holds; raises InputError for one that depends on data or on the input's size."""
        return self._truth_of(test, self.value(test, scope))

    def _truth_of(self, test: ast.expr, value: Any) -> bool:
        if isinstance(value, _UNKNOWN):
            what = f"'{self._parser.text(test)}' depends on the input, and only conditions on constants are supported"
            raise self._parser.error(test, what, "write the branch that runs")
        return True if is_module(value) else bool(value)

    def iterated(self, node: ast.expr, scope: Scope) -> Iterator[Any]:
        """Yield the items of a list, range or container of modules; nothing for the modules that a loop initializes."""
        value = self.value(node, scope)
        if isinstance(value, Opaque) and value.name in _INSPECTIONS:
            return
        if not isinstance(value, list | tuple | range | dict | str | enumerate | zip | reversed | Container):
            raise self.unsupported(node)
        for item in contents(value):
            self.count_step(node)
            yield item

    def assign(self, target: ast.expr, value: Any, scope: Scope) -> None:
        """Give a name, an attribute of a module, or several of them a value."""
        match target:
            case ast.Name(name):
                scope.names[name] = value
            case ast.Attribute(owner, name):
                instance = self.value(owner, scope)
                if isinstance(instance, Instance):
                    instance.attributes[name] = value
                elif not isinstance(instance, Opaque | Layer):
                    raise self.unsupported(target)
            case ast.Tuple(targets) | ast.List(targets):
                for one, item in zip(targets, self._unpacked(target, value, len(targets)), strict=True):
                    self.assign(one, item, scope)
            case ast.Subscript(owner, index):
                container, key = self.value(owner, scope), self.value(index, scope)
                if not isinstance(container, dict | Container):
                    raise self.unsupported(target)
                (container.children if isinstance(container, Container) else container)[key] = value
            case _:
                raise self.unsupported(target)

    def operated(
        self, node: ast.expr, operator: ast.operator, left: Any, right: Any, *, is_inplace: bool = False
    ) -> Any:
        """`left operator right` for numbers, sizes, lists, strings and tensors."""
        operands = (left, right)
        if any(isinstance(one, Tensor | State) for one in operands):
            return self.graph.binary(node, operator, left, right, is_inplace=is_inplace and isinstance(left, Tensor))
        if any(isinstance(one, Opaque) for one in operands):
            return Opaque(f"'{self._parser.text(node)}'")
        if any(isinstance(one, Deferred | ShapeOf) for one in operands) and type(operator) in _SIZE_OPERATORS:
            return self.graph.deferred(node, _SIZE_OPERATORS[type(operator)], left, right)
        if isinstance(left, list | tuple | str) and isinstance(operator, ast.Add | ast.Mult):
            return self._sequence_operated(node, operator, left, right)
        try:
            return compute(operator, left, right)
        except NotConstantError as error:
            raise self._parser.error(node, f"'{self._parser.text(node)}' {error}", "write the number") from error

    def call_value(self, function: Any, positional: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        """The result of calling a class, function or module of the pasted code."""
        self.count_step(node)
        if isinstance(function, Broken):
            raise function.error
        if isinstance(function, UserClass):
            return self._instance(function, positional, keywords, node)
        if isinstance(function, Function):
            return self._call_function(function, positional, keywords, node)
        if is_module(function):
            return self.call_module(function, positional, keywords, node)
        if isinstance(function, Opaque):
            return function
        raise self.unsupported(node)

    def call_module(self, module: Any, positional: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        """What a module returns for tensors."""
        if isinstance(module, Instance):
            forward = module.user_class.methods.get("forward")
            if forward is not None:
                return self._call_function(Function(forward, module), positional, keywords, node)
            module = module.attributes.get("", module)
        if isinstance(module, Container) and module.kind == "Sequential":
            value = positional[0] if len(positional) == 1 and not keywords else None
            for child in module.children.values():
                value = self.call_value(child, [value], {}, node)
            return value
        has_state = isinstance(module, Layer) and module.name in RECURRENT and len(positional) == 2  # noqa: PLR2004
        if not isinstance(module, Layer) or keywords or (len(positional) != 1 and not has_state):
            raise self.graph.unsupported(node)
        return self.graph.run(module, self.graph.tensor(positional[0], node))

    def _name(self, node: ast.expr, name: str, scope: Scope) -> Any:
        where: Scope | None = scope
        while where is not None:
            if name in where.names:
                return where.names[name]
            where = where.outer
        if name in _BUILTINS or name in {"super", "print", "isinstance", "getattr", "setattr", "next", "iter"}:
            return External(name)
        if name in layer_types() or name in _CONTAINERS or name in {RESIDUAL, "OrderedDict"}:
            return External(f"torch.nn.{name}")
        raise self._parser.error(node, f"'{name}' has no value here", f"add a line such as {name} = 10")

    def _attribute(self, node: ast.expr, owner: Any, name: str) -> Any:  # noqa: C901, PLR0911  # one for each owner
        match owner:
            case External(dotted):
                return External(f"{dotted}.{name}")
            case Instance():
                return self._instance_attribute(node, owner, name)
            case UserClass() if name in owner.constants:
                return owner.constants[name]
            case UserClass() if name in owner.methods:
                return Function(owner.methods[name])
            case Tensor() if name == "shape":
                return ShapeOf(owner.node)
            case Tensor() if name in {"device", "dtype", "data", "T", "ndim"}:
                return owner if name == "data" else Opaque(f"'{self._parser.text(node)}'")
            case Opaque():
                return owner
            case Layer() if name in {"weight", "bias"}:
                return Opaque(f"'{self._parser.text(node)}'")
            case Layer() if name in dict(owner.keywords):
                return dict(owner.keywords)[name]
            case Layer() if layer_types().get(owner.name):
                return self._layer_argument(owner, name)
            case _:
                return Method(owner, name)

    def _layer_argument(self, layer: Layer, name: str) -> Any:
        """An argument of a layer, as in `self.fc.in_features`, else a method."""
        names = [text.partition("=")[0] for text in layer_types()[layer.name].signature.split(", ")]
        if name in names[: len(layer.positional)]:
            return layer.positional[names.index(name)]
        return Method(layer, name)

    def _instance_attribute(self, node: ast.expr, owner: Instance, name: str) -> Any:
        if name in owner.attributes:
            return owner.attributes[name]
        if name in owner.user_class.methods:
            return Function(owner.user_class.methods[name], owner)
        if name in owner.user_class.constants:
            return owner.user_class.constants[name]
        if name == "training":
            return False
        if name in _UNCHANGED | _INSPECTIONS | {"add_module", "register_buffer", "register_parameter", "__init__"}:
            return Method(owner, name)
        raise self._parser.error(node, f"'{self._parser.text(node)}' has no value: __init__ does not set it", SUPPORTED)

    def _call(self, node: ast.Call, scope: Scope) -> Any:
        match node.func:
            case ast.Attribute(ast.Call(ast.Name("super")), "__init__"):
                return self._super_init(node, scope)
            case ast.Attribute(ast.Call(ast.Name("super")), name) if isinstance(scope.names.get("self"), Instance):
                raise self.unsupported(node) from KeyError(name)
        function = self.value(node.func, scope)
        if function == External("print"):
            return None
        positional = list(self._elements(node.args, scope))
        keywords = dict(self._keywords(node, scope))
        if isinstance(function, External):
            return self._call_external(node, function.name, positional, keywords)
        if isinstance(function, Method):
            return self._call_method(node, function, positional, keywords)
        return self.call_value(function, positional, keywords, node)

    def _keywords(self, node: ast.Call, scope: Scope) -> Iterator[tuple[str, Any]]:
        for keyword in node.keywords:
            if keyword.arg is None:
                values = self.value(keyword.value, scope)
                if not isinstance(values, dict):
                    raise self.unsupported(node)
                yield from values.items()
            elif keyword.arg in {"device", "dtype"}:  # they change no shape, so they need no value
                yield keyword.arg, None
            else:
                yield keyword.arg, self.value(keyword.value, scope)

    def _super_init(self, node: ast.Call, scope: Scope) -> None:
        """`super().__init__(...)`: of a user's base class, or of nn.Sequential with its layers."""
        owner = scope.names.get("self")
        if not isinstance(owner, Instance):
            raise self.unsupported(node)
        if "Sequential" in owner.user_class.bases:
            owner.attributes[""] = self._container("Sequential", list(self._elements(node.args, scope)), node)
            return
        base = next((self.global_scope.names.get(name) for name in owner.user_class.bases), None)
        if isinstance(base, UserClass) and "__init__" in base.methods and base.name != owner.user_class.name:
            function = Function(base.methods["__init__"], owner)
            self._call_function(
                function, list(self._elements(node.args, scope)), dict(self._keywords(node, scope)), node
            )

    def _call_external(self, node: ast.Call, dotted: str, positional: list[Any], keywords: dict[str, Any]) -> Any:  # noqa: PLR0911
        prefix, _, name = dotted.rpartition(".")
        if not prefix:
            return self._call_builtin(node, name, positional, keywords)
        if name == "OrderedDict":
            return dict(self._pairs(node, positional[0])) if positional else {}
        if prefix == "torch.nn" and name in _CONTAINERS:
            return self._container(name, positional, node)
        if name in _OUTSIDE and positional and is_module(positional[0]):
            return positional[0]
        if name in _FACTORIES or prefix in {"torch.nn.init", "torch.autograd"} or dotted == "torch.nn.Parameter":
            return Opaque(f"'{self._parser.text(node)}'")
        if prefix == "torch.nn" or name in layer_types():
            return self._layer(node, name, positional, keywords)
        if f"{prefix}." in _MODULE_FUNCTIONS:
            return self.graph.call(node, name, positional, keywords)
        raise self.unsupported(node)

    def _layer(self, node: ast.Call, name: str, positional: list[Any], keywords: dict[str, Any]) -> Layer:
        if name == RESIDUAL:
            inner = tuple(self._leaves(node, positional))
            return Layer(name, inner, text=self._parser.text(node), location=self._parser.location(node))
        if any(isinstance(value, _UNKNOWN) or is_module(value) for value in (*positional, *keywords.values())):
            raise self._parser.error(
                node, f"'{self._parser.text(node)}' has an argument without a value", "write the number"
            )
        text = self._parser.text(node).removeprefix("torch.").removeprefix("nn.")
        layer = Layer(name, tuple(positional), tuple(keywords.items()), text, self._parser.location(node))
        arguments = (*node.args, *(keyword.value for keyword in node.keywords))
        has_names = any(isinstance(one, ast.Name | ast.Starred) for argument in arguments for one in ast.walk(argument))
        return with_arguments(layer, name) if has_names else layer

    def _leaves(self, node: ast.Call, values: list[Any]) -> Iterator[Layer]:
        """The layers of a Residual, those of Sequential inside it too."""
        for value in values:
            if isinstance(value, Container):
                yield from self._leaves(node, list(value.children.values()))
            elif isinstance(value, Layer):
                yield value
            else:
                raise self.unsupported(node)

    def _call_builtin(self, node: ast.Call, name: str, positional: list[Any], keywords: dict[str, Any]) -> Any:  # noqa: PLR0911
        if name in {"getattr", "setattr"} and len(positional) > 1 and isinstance(positional[0], Instance):
            if name == "getattr":
                return self._instance_attribute(node, positional[0], positional[1])
            positional[0].attributes[positional[1]] = positional[2]
            return None
        if name in {"next", "iter"} and positional and isinstance(positional[0], Opaque):
            return positional[0]
        if name == "len" and positional and isinstance(positional[0], Container):
            return len(positional[0].children)
        if name not in _BUILTINS:
            raise self.unsupported(node)
        if any(isinstance(value, Deferred | ShapeOf) for value in positional) and name in {
            "int",
            "max",
            "min",
            "round",
        }:
            return self.graph.deferred(node, _BUILTINS[name], *positional)
        if any(isinstance(value, Tensor) for value in positional) and name == "len":
            return self.graph.deferred(node, len, ShapeOf(positional[0].node))
        if any(isinstance(value, Opaque | Tensor | State | Deferred | ShapeOf) for value in positional):
            return Opaque(f"'{self._parser.text(node)}'")
        items = [list(value.children.values()) if isinstance(value, Container) else value for value in positional]
        self._check_length(node, name, items)
        try:
            return _BUILTINS[name](*items, **keywords)
        except (TypeError, ValueError, OverflowError) as error:
            raise self.unsupported(node) from error

    def _check_length(self, node: ast.AST, name: str, items: list[Any]) -> None:
        """Raise InputError before a range becomes a long list, or an iterable of unknown type is used."""
        numbers = [item for item in items if isinstance(item, range)]
        if name in {"list", "tuple", "sum", "max", "min", "all", "any", "zip", "dict"} and any(
            len(one) > MAX_ITEMS for one in numbers
        ):
            raise self._parser.error(node, "makes a list that is too long", f"use at most {MAX_ITEMS:,} items")

    def _call_method(self, node: ast.Call, method: Method, positional: list[Any], keywords: dict[str, Any]) -> Any:
        owner, name = method.owner, method.name
        if isinstance(owner, Tensor | State):
            if name in {"chunk", "split", "max", "min", "unbind", "topk", "sort"}:
                raise self.graph.unsupported(node)
            return self.graph.call(node, name, [owner, *positional], keywords)
        if isinstance(owner, Layer | Container | Instance):
            return self._module_method(node, owner, name, positional)
        if isinstance(owner, list) and name in {"append", "extend", "insert"}:
            if len(owner) > MAX_ITEMS:
                raise self._parser.error(node, "makes a list that is too long", f"use at most {MAX_ITEMS:,} items")
            getattr(owner, name)(*positional)
            return None
        if isinstance(owner, dict) and name in {"items", "values", "keys", "get"}:
            result = getattr(owner, name)(*positional)
            return result if name == "get" else list(result)
        raise self.unsupported(node)

    def _module_method(self, node: ast.Call, owner: Any, name: str, positional: list[Any]) -> Any:
        if name in _INSPECTIONS:
            return Opaque(name)
        if name in _UNCHANGED:
            return owner
        if isinstance(owner, Container) and name in {"append", "extend", "add_module", "items", "values", "keys"}:
            return self._container_method(node, owner, name, positional)
        if isinstance(owner, Instance) and name in {"add_module", "register_buffer", "register_parameter"}:
            owner.attributes[positional[0]] = positional[1] if name == "add_module" else Opaque(f"'{positional[0]}'")
            return None
        if isinstance(owner, Instance) and name == "__init__":
            return None
        if name == "forward" and isinstance(owner, Layer | Container):
            return self.call_module(owner, positional, {}, node)
        raise self.unsupported(node)

    def _container_method(self, node: ast.Call, owner: Container, name: str, positional: list[Any]) -> Any:
        if name in {"items", "values", "keys"}:
            return list(getattr(owner.children, name)())
        if name == "add_module":
            owner.children[positional[0]] = positional[1]
            return None
        for module in [positional[0]] if name == "append" else contents(positional[0]):
            owner.children[str(len(owner.children))] = module
            self.count_step(node)
        return None

    def _container(self, kind: str, positional: list[Any], node: ast.AST) -> Container:
        first = positional[0] if len(positional) == 1 else None
        if isinstance(first, dict):
            children = dict(first)
        elif isinstance(first, list | tuple) and kind != "Sequential":
            children = dict(self._pairs(node, first)) if kind == "ModuleDict" else dict(_numbered(first))
        else:
            children = dict(_numbered(positional))
        if not all(map(is_module, children.values())):
            raise self.unsupported(node)
        return Container(kind, children)

    def _pairs(self, node: ast.AST, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            yield from value.items()
            return
        for pair in value:
            if not isinstance(pair, list | tuple) or len(pair) != 2:  # noqa: PLR2004  # a name and a module
                raise self.unsupported(node)
            yield str(pair[0]), pair[1]

    def _instance(
        self, user_class: UserClass, positional: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Instance:
        instance = Instance(user_class)
        init = user_class.methods.get("__init__")
        if init is not None:
            self._call_function(Function(init, instance), positional, keywords, node)
        elif "Sequential" in user_class.bases:
            instance.attributes[""] = self._container("Sequential", positional, node)
        return instance

    def _call_function(self, function: Function, positional: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        """Run a function with its arguments and constant defaults bound."""
        arguments = function.definition.args
        decorators = {ast.unparse(one) for one in function.definition.decorator_list}
        values = list(positional)
        if function.owner is not None and "staticmethod" not in decorators:
            values.insert(0, function.owner)
        names = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
        bound: dict[str, Any] = dict(zip(names, values, strict=False))
        if arguments.vararg:
            bound[arguments.vararg.arg] = tuple(values[len(names) :])
        elif len(values) > len(names):
            raise self.unsupported(node)
        known = {*names, *(one.arg for one in arguments.kwonlyargs)}
        extra = {name: value for name, value in keywords.items() if name not in known}
        if extra and not arguments.kwarg:
            raise self._parser.error(
                node, f"{function.definition.name}() has no argument '{next(iter(extra))}'", "correct it"
            )
        bound |= {name: value for name, value in keywords.items() if name in known}
        if arguments.kwarg:
            bound[arguments.kwarg.arg] = extra
        self._bind_defaults(function, bound, node)
        is_init = function.definition.name == "__init__"
        return self._run_function(function, Scope(bound, self.global_scope, is_init=is_init))

    def _bind_defaults(self, function: Function, bound: dict[str, Any], node: ast.AST) -> None:
        arguments = function.definition.args
        names = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
        defaults = dict(zip(names[len(names) - len(arguments.defaults) :], arguments.defaults, strict=True))
        defaults |= {
            one.arg: value for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value
        }
        for name in (*names, *(one.arg for one in arguments.kwonlyargs)):
            if name in bound:
                continue
            if name in defaults:
                bound[name] = self.value(defaults[name], self.global_scope)
            elif function.definition.name == "forward":
                bound[name] = Opaque(f"'{name}', a second input of forward()")
            else:
                owner = function.owner.user_class.name if function.owner else function.definition.name
                what = f"'{name}' of {owner} has no value"
                raise self._parser.error(node, what, f"add a line such as model = {owner}({name}=10)")

    def _elements(self, nodes: Sequence[ast.expr], scope: Scope) -> Iterator[Any]:
        for node in nodes:
            if isinstance(node, ast.Starred):
                yield from self.iterated(node.value, scope)
            else:
                yield self.value(node, scope)

    def _unpacked(self, node: ast.AST, value: Any, count: int) -> Sequence[Any]:
        if isinstance(value, ShapeOf):
            return [self.graph.deferred(node, tuple.__getitem__, value, index) for index in range(count)]
        if isinstance(value, Opaque):
            return [value] * count
        if not isinstance(value, list | tuple) or len(value) != count:
            raise self.graph.unsupported(node)
        return value

    def _subscript(self, node: ast.expr, owner: Any, index: ast.expr, scope: Scope) -> Any:
        items = index.elts if isinstance(index, ast.Tuple) else [index]
        values = tuple(self._index(item, scope) for item in items)
        if isinstance(owner, Tensor | State):
            return self.graph.indexed(node, owner, values)
        if isinstance(owner, ShapeOf | Deferred):
            return self.graph.deferred(node, tuple.__getitem__, owner, *values)
        if isinstance(owner, Opaque):
            return owner
        if isinstance(owner, Container):
            return self._child(node, owner, values[0])
        try:
            return owner[values[0] if len(values) == 1 else values]
        except (LookupError, TypeError) as error:
            raise self.unsupported(node) from error

    def _index(self, node: ast.expr, scope: Scope) -> Any:
        if not isinstance(node, ast.Slice):
            return self.value(node, scope)
        limits = [self.value(limit, scope) if limit else None for limit in (node.lower, node.upper, node.step)]
        if not all(isinstance(limit, int | None) for limit in limits) or limits[2] == 0:
            raise self.unsupported(node)
        return slice(*limits)

    def _child(self, node: ast.expr, owner: Container, index: Any) -> Any:
        children = list(owner.children.values())
        try:
            if isinstance(index, slice):
                return Container(owner.kind, dict(list(owner.children.items())[index]))
            return owner.children[index] if isinstance(index, str) else children[index]
        except (LookupError, TypeError) as error:
            raise self.unsupported(node) from error

    def _negated(self, node: ast.expr, operator: ast.unaryop, value: Any) -> Any:
        if isinstance(value, Tensor | State):
            return self.graph.call(node, "neg", [value], {})
        if isinstance(value, Deferred) and isinstance(operator, ast.USub):
            return self.graph.deferred(node, lambda number: -number, value)
        try:
            return compute(operator, value)
        except NotConstantError as error:
            raise self.unsupported(node) from error

    def _any_or_all(self, operator: ast.boolop, values: list[ast.expr], scope: Scope) -> Any:
        is_or = isinstance(operator, ast.Or)
        result: Any = None
        for value in values:
            result = self.value(value, scope)
            if self._truth_of(value, result) == is_or:
                return result
        return result

    def _compared(self, node: ast.expr, sides: list[ast.expr], operators: list[ast.cmpop], scope: Scope) -> Any:
        values = [self.value(side, scope) for side in sides]
        for left, operator, right in zip(values, operators, values[1:], strict=False):
            is_identity = isinstance(operator, ast.Is | ast.IsNot)
            if not is_identity and any(isinstance(value, _UNKNOWN) for value in (left, right)):
                return Opaque(f"'{self._parser.text(node)}'")
            try:
                if not _COMPARISONS[type(operator)](left, right):
                    return False
            except TypeError as error:
                raise self.unsupported(node) from error
        return True

    def _comprehension(self, element: ast.expr, generator: ast.comprehension, scope: Scope) -> list[Any]:
        inner = Scope(dict(scope.names), scope.outer, is_init=False)
        result = []
        for item in self.iterated(generator.iter, scope):
            self.assign(generator.target, item, inner)
            if all(self.truth(test, inner) for test in generator.ifs):
                result.append(self.value(element, inner))
            if len(result) > MAX_ITEMS:
                raise self._parser.error(element, "makes a list that is too long", f"use at most {MAX_ITEMS:,} items")
        return result

    def _sequence_operated(self, node: ast.expr, operator: ast.operator, left: Any, right: Any) -> Any:
        is_valid = isinstance(right, int) if isinstance(operator, ast.Mult) else isinstance(right, type(left))
        count = len(left) * right if isinstance(right, int) else len(left) + len(right) if is_valid else 0
        if not is_valid or count > MAX_ITEMS:
            raise self.unsupported(node)
        return left * right if isinstance(operator, ast.Mult) else left + right


def _numbered(modules: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for index, module in enumerate(modules):
        yield str(index), module
