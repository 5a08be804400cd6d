"""Calls in pasted code: of classes, functions and modules, of names of PyTorch, and of methods of values."""

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.call_text import with_values
from dlnotes_cli.shapes.parsing.evaluation import MAX_ITEMS, Evaluator
from dlnotes_cli.shapes.parsing.modules import call_container_method, made_container, made_layer, pairs
from dlnotes_cli.shapes.parsing.operators import formatted
from dlnotes_cli.shapes.parsing.python_functions import call_python
from dlnotes_cli.shapes.parsing.tensor_functions import UNCHANGED
from dlnotes_cli.shapes.parsing.tensor_graph import RECURRENT
from dlnotes_cli.shapes.parsing.values import (
    CONTAINERS,
    INSPECTIONS,
    REGISTRATIONS,
    RETURN_SELF,
    Broken,
    ConstantTensor,
    Container,
    External,
    Function,
    Instance,
    Method,
    Opaque,
    Partial,
    State,
    Tensor,
    UserClass,
    is_module,
)
from dlnotes_cli.shapes.rules.layer_types import layer_types

RunFunction = Callable[[Function, list[Any], dict[str, Any], ast.AST], Any]  # with positional and keyword arguments

_TENSOR_MODULES = {"torch", "torch.nn.functional", "torch.nn.init", "torch.special", "torch.nn.utils"}
_OF_SIZES = {"zeros", "ones", "randn", "rand", "empty"}
_WITHOUT_VALUE = {"arange", "linspace", "tensor", "full", "device", "manual_seed", "randint", "from_numpy"}
_WRAPPERS = {"DataParallel", "compile"}  # functions that return their module


class Calls:
    """The results of calls whose arguments are evaluated; `run_function` runs a function of the pasted code."""

    def __init__(self, evaluation: Evaluator, run_function: RunFunction) -> None:
        self._evaluation = evaluation
        self._run_function = run_function

    def call(self, function: Any, positional: list[Any], keywords: dict[str, Any], node: ast.Call) -> Any:
        """The result of calling any value."""
        if isinstance(function, External):
            return self._call_external(node, function.name, positional, keywords)
        if isinstance(function, Method):
            return self._call_method(node, function, positional, keywords)
        if isinstance(function, Partial):
            arguments = [*function.positional, *positional]
            return self.call(function.function, arguments, {**function.keywords, **keywords}, node)
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
            forward = module.user_class.method("forward")
            if forward is not None:
                return self._run_function(replace(forward, owner=module), positional, keywords, node)
            module = module.external or module
        if isinstance(module, Container) and module.kind == "Sequential":
            value = positional[0] if len(positional) == 1 and not keywords else None
            for child in module.children.values():
                value = self.call_user_code(child, [value], {}, node)
            return value
        has_state = isinstance(module, Layer) and module.name in RECURRENT and len(positional) == 2  # noqa: PLR2004
        if not isinstance(module, Layer) or keywords or (len(positional) != 1 and not has_state):
            raise graph.unsupported(node)
        return graph.run(module, graph.tensor(positional[0], node))

    def call_super(
        self, function: Function | None, name: str, positional: list[Any], keywords: dict[str, Any], node: ast.Call
    ) -> Any:
        """`super().name(...)` in a method: of a class of the pasted code, or of the layer or Sequential it extends."""
        if function is None or function.owner is None or function.defined_in is None:
            raise self._evaluation.unsupported(node)
        owner, method = function.owner, function.defined_in.inherited(name)
        if method is not None:
            return self._run_function(replace(method, owner=owner), positional, keywords, node)
        if name == "__init__":
            self._extend(owner, function.defined_in, positional, keywords, node)
            return None
        if name == "forward" and owner.external is not None:
            return self.call_module(owner.external, positional, keywords, node)
        raise self._evaluation.unsupported(node)

    def _extend(
        self, owner: Instance, user_class: UserClass, positional: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> None:
        """Make the layer or Sequential that a class extends."""
        known = {parent.name for parent in user_class.parents}
        for base in user_class.bases:
            if base in known:
                continue
            if base == "Sequential":
                owner.external = made_container(self._evaluation, node, base, positional)
            elif base in layer_types() and isinstance(node, ast.Call):
                owner.external = with_values(made_layer(self._evaluation, node, base, positional, keywords), base)

    def _instance(
        self, user_class: UserClass, positional: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Instance:
        instance = Instance(user_class)
        init = user_class.method("__init__")
        if init is not None:
            self._run_function(replace(init, owner=instance), positional, keywords, node)
        else:
            self._extend(instance, user_class, positional, keywords, node)
        return instance

    def _call_external(self, node: ast.Call, dotted: str, positional: list[Any], keywords: dict[str, Any]) -> Any:
        """The result of a function or class of PyTorch or Python, by its name with dots."""
        evaluation = self._evaluation
        prefix, _, name = dotted.rpartition(".")
        if not prefix:
            return call_python(evaluation, node, name, positional, keywords)
        if name in _WRAPPERS and positional and is_module(positional[0]):
            return positional[0]
        if dotted == "functools.partial":
            return Partial(positional[0], tuple(positional[1:]), keywords)
        if prefix in _TENSOR_MODULES and evaluation.tensors.has_function(name):
            return evaluation.tensors.call(node, name, positional, keywords)
        return self._made(node, dotted, positional, keywords)

    def _made(self, node: ast.Call, dotted: str, positional: list[Any], keywords: dict[str, Any]) -> Any:
        """What a class or factory of PyTorch makes: a container, a layer, or a tensor without known values."""
        evaluation = self._evaluation
        prefix, _, name = dotted.rpartition(".")
        if name == "OrderedDict":
            return dict(pairs(evaluation, node, positional[0])) if positional else {}
        if prefix == "torch.nn" and name in CONTAINERS:
            return made_container(evaluation, node, name, positional)
        if name == "Parameter":
            return self._registered(node, "register_parameter", positional[0])
        if name in _OF_SIZES:
            return evaluation.graph.constant(node, positional)
        if name in _WITHOUT_VALUE or prefix in {"torch.nn.init", "torch.autograd"}:
            return evaluation.opaque(node)
        if prefix == "torch.nn" or name in layer_types():
            return made_layer(evaluation, node, name, positional, keywords)
        raise evaluation.graph.unsupported(node) if prefix in _TENSOR_MODULES else evaluation.unsupported(node)

    def _registered(self, node: ast.Call, name: str, value: Any) -> Any:
        """A module, parameter or buffer as an attribute; tensors of known sizes count as parameters or buffers."""
        if name == "add_module" or value is None:
            return value
        if not isinstance(value, ConstantTensor):
            return self._evaluation.opaque(node)
        kind = "parameters" if name == "register_parameter" else "buffers"
        return ConstantTensor(replace(value.layer, keywords=(("counted_as", kind),)))

    def _call_method(self, node: ast.Call, method: Method, positional: list[Any], keywords: dict[str, Any]) -> Any:
        owner, name = method.owner, method.name
        if isinstance(owner, Tensor | State | ConstantTensor):
            if isinstance(owner, ConstantTensor) and (name in UNCHANGED or name.endswith("_")):
                return owner
            return self._evaluation.tensors.call(node, name, [owner, *positional], keywords)
        if isinstance(owner, Layer | Container | Instance):
            return self._call_module_method(node, owner, name, positional)
        if isinstance(owner, list) and name in {"append", "extend", "insert"}:
            if len(owner) > MAX_ITEMS:
                raise self._evaluation.too_long(node)
            getattr(owner, name)(*positional)
            return None
        if isinstance(owner, str) and name == "format":
            return formatted(self._evaluation, node, owner, positional)
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
            owner.set(positional[0], self._registered(node, name, positional[1]))
            return None
        if isinstance(owner, Instance) and name == "__init__":
            return None
        if name == "forward" and isinstance(owner, Layer | Container):
            return self.call_module(owner, positional, {}, node)
        raise self._evaluation.unsupported(node)
