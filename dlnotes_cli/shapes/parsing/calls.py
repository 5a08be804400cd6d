"""Calls in pasted code: of classes, functions and modules, of names of PyTorch, and of methods of values."""

import ast
from collections.abc import Callable
from typing import Any

from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.evaluation import MAX_ITEMS, Evaluation
from dlnotes_cli.shapes.parsing.modules import call_container_method, made_container, made_layer, pairs
from dlnotes_cli.shapes.parsing.python_functions import call_python
from dlnotes_cli.shapes.parsing.tensor_graph import RECURRENT
from dlnotes_cli.shapes.parsing.values import (
    CONTAINERS,
    INSPECTIONS,
    REGISTRATIONS,
    RETURN_SELF,
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
    is_module,
)
from dlnotes_cli.shapes.rules.layer_types import layer_types

RunFunction = Callable[[Function, list[Any], dict[str, Any], ast.AST], Any]  # with positional and keyword arguments

_TENSOR_MODULES = {"torch", "torch.nn.functional", "torch.nn.init", "torch.special", "torch.nn.utils"}
_WITHOUT_VALUE = {
    "zeros", "ones", "randn", "rand", "arange", "tensor", "empty", "full", "device", "manual_seed", "randint",
}  # fmt: skip
_WRAPPERS = {"DataParallel", "compile"}  # functions that return their module
_UNSUPPORTED_METHODS = {"chunk", "split", "max", "min", "unbind", "topk", "sort"}  # they return several tensors


class Calls:
    """The results of calls whose arguments are evaluated; `run_function` runs a function of the pasted code."""

    def __init__(self, evaluation: Evaluation, run_function: RunFunction) -> None:
        self._evaluation = evaluation
        self._run_function = run_function

    def call(self, function: Any, positional: list[Any], keywords: dict[str, Any], node: ast.Call) -> Any:
        """The result of calling any value."""
        if isinstance(function, External):
            return self._call_external(node, function.name, positional, keywords)
        if isinstance(function, Method):
            return self._call_method(node, function, positional, keywords)
        return self.call_user_code(function, positional, keywords, node)

    def call_user_code(self, function: Any, positional: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        """The result of calling a class, function or module of the pasted code."""
        self._evaluation.count_step(node)
        if isinstance(function, Broken):
            raise function.error
        if isinstance(function, UserClass):
            return self._instance(function, positional, keywords, node)
        if isinstance(function, Function):
            return self._run_function(function, positional, keywords, node)
        if is_module(function):
            return self.call_module(function, positional, keywords, node)
        if isinstance(function, Opaque):
            return function
        raise self._evaluation.unsupported(node)

    def call_module(self, module: Any, positional: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        """What a module returns for tensors."""
        graph = self._evaluation.graph
        if isinstance(module, Instance):
            forward = module.user_class.methods.get("forward")
            if forward is not None:
                return self._run_function(Function(forward, module), positional, keywords, node)
            module = module.attributes.get("", module)
        if isinstance(module, Container) and module.kind == "Sequential":
            value = positional[0] if len(positional) == 1 and not keywords else None
            for child in module.children.values():
                value = self.call_user_code(child, [value], {}, node)
            return value
        has_state = isinstance(module, Layer) and module.name in RECURRENT and len(positional) == 2  # noqa: PLR2004
        if not isinstance(module, Layer) or keywords or (len(positional) != 1 and not has_state):
            raise graph.unsupported(node)
        return graph.run(module, graph.tensor(positional[0], node))

    def call_super_init(self, owner: Any, positional: list[Any], keywords: dict[str, Any], node: ast.Call) -> None:
        """`super().__init__(...)`: of a user's base class, or of nn.Sequential with its layers."""
        if not isinstance(owner, Instance):
            raise self._evaluation.unsupported(node)
        if "Sequential" in owner.user_class.bases:
            owner.attributes[""] = made_container(self._evaluation, node, "Sequential", positional)
            return
        top_level = self._evaluation.top_level.names
        base = next((top_level.get(name) for name in owner.user_class.bases), None)
        if isinstance(base, UserClass) and "__init__" in base.methods and base.name != owner.user_class.name:
            self._run_function(Function(base.methods["__init__"], owner), positional, keywords, node)

    def _instance(
        self, user_class: UserClass, positional: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Instance:
        instance = Instance(user_class)
        init = user_class.methods.get("__init__")
        if init is not None:
            self._run_function(Function(init, instance), positional, keywords, node)
        elif "Sequential" in user_class.bases:
            instance.attributes[""] = made_container(self._evaluation, node, "Sequential", positional)
        return instance

    def _call_external(self, node: ast.Call, dotted: str, positional: list[Any], keywords: dict[str, Any]) -> Any:  # noqa: PLR0911  # one for each kind of name
        """The result of a function or class of PyTorch or Python, by its name with dots."""
        evaluation = self._evaluation
        prefix, _, name = dotted.rpartition(".")
        if not prefix:
            return call_python(evaluation, node, name, positional, keywords)
        if name == "OrderedDict":
            return dict(pairs(evaluation, node, positional[0])) if positional else {}
        if prefix == "torch.nn" and name in CONTAINERS:
            return made_container(evaluation, node, name, positional)
        if name in _WRAPPERS and positional and is_module(positional[0]):
            return positional[0]
        if name in _WITHOUT_VALUE or prefix in {"torch.nn.init", "torch.autograd"} or dotted == "torch.nn.Parameter":
            return evaluation.opaque(node)
        if prefix == "torch.nn" or name in layer_types():
            return made_layer(evaluation, node, name, positional, keywords)
        if prefix in _TENSOR_MODULES:
            return evaluation.graph.call(node, name, positional, keywords)
        raise evaluation.unsupported(node)

    def _call_method(self, node: ast.Call, method: Method, positional: list[Any], keywords: dict[str, Any]) -> Any:
        owner, name = method.owner, method.name
        if isinstance(owner, Tensor | State):
            if name in _UNSUPPORTED_METHODS:
                raise self._evaluation.graph.unsupported(node)
            return self._evaluation.graph.call(node, name, [owner, *positional], keywords)
        if isinstance(owner, Layer | Container | Instance):
            return self._call_module_method(node, owner, name, positional)
        if isinstance(owner, list) and name in {"append", "extend", "insert"}:
            if len(owner) > MAX_ITEMS:
                raise self._evaluation.too_long(node)
            getattr(owner, name)(*positional)
            return None
        if isinstance(owner, dict) and name in {"items", "values", "keys", "get"}:
            result = getattr(owner, name)(*positional)
            return result if name == "get" else list(result)
        raise self._evaluation.unsupported(node)

    def _call_module_method(self, node: ast.Call, owner: Any, name: str, positional: list[Any]) -> Any:
        if name in INSPECTIONS:
            return Opaque(name)
        if name in RETURN_SELF:
            return owner
        if isinstance(owner, Container) and name in {"append", "extend", "add_module", "items", "values", "keys"}:
            return call_container_method(self._evaluation, node, owner, name, positional)
        if isinstance(owner, Instance) and name in REGISTRATIONS:
            owner.attributes[positional[0]] = positional[1] if name == "add_module" else Opaque(f"'{positional[0]}'")
            return None
        if isinstance(owner, Instance) and name == "__init__":
            return None
        if name == "forward" and isinstance(owner, Layer | Container):
            return self.call_module(owner, positional, {}, node)
        raise self._evaluation.unsupported(node)
