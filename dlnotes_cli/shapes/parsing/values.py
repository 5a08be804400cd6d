"""The values of pasted code while it is read: modules, tensors of its graph, and what has no value before it runs."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dlnotes_cli.shapes.graph import Deferred, ShapeOf
from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shell.errors import InputError


@dataclass(frozen=True)
class Tensor:
    """The output of a node of the graph."""

    node: int


@dataclass(frozen=True)
class State:
    """A state that a recurrent layer returns next to its output; it becomes a node where it is used."""

    node: int
    index: int


@dataclass(frozen=True)
class Opaque:
    """Something whose value is not known without running code, such as a second input; `name` is how errors call it."""

    name: str


@dataclass(frozen=True)
class Broken:
    """The value of an expression that is not supported; using it raises its error."""

    error: InputError


@dataclass(frozen=True)
class External:
    """A name of PyTorch or Python with its dots, such as `nn.Conv2d`."""

    name: str


@dataclass
class Container:
    """`Sequential`, `ModuleList` or `ModuleDict`: modules by name."""

    kind: str
    children: dict[str, Any]


@dataclass(frozen=True)
class UserClass:
    """A class of the pasted code, with the methods of its bases."""

    name: str
    methods: Mapping[str, ast.FunctionDef]
    constants: Mapping[str, Any]
    bases: tuple[str, ...]


@dataclass
class Instance:
    """A module made from a class of the pasted code."""

    user_class: UserClass
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Function:
    """A function of the pasted code; with `owner`, a method bound to it."""

    definition: ast.FunctionDef
    owner: Instance | None = None


@dataclass(frozen=True)
class Method:
    """A method of a value that is not an instance, such as `x.view`."""

    owner: Any
    name: str


CONTAINERS = {"Sequential", "ModuleList", "ModuleDict"}
RETURN_SELF = {"to", "cuda", "cpu", "eval", "train", "float", "double", "half", "requires_grad_", "apply", "compile"}
INSPECTIONS = {"parameters", "modules", "children", "named_parameters", "named_modules", "named_children", "buffers"}
REGISTRATIONS = {"add_module", "register_buffer", "register_parameter"}
UNKNOWN = Opaque | Broken | Deferred | ShapeOf | Tensor | State  # what a condition cannot depend on


def is_module(value: Any) -> bool:
    """Whether a value can be called on a tensor."""
    return isinstance(value, Layer | Container | Instance)


def has_user_class(value: Any) -> bool:
    """Whether a module is made from a class of the pasted code, or holds one."""
    if isinstance(value, Container):
        return any(map(has_user_class, value.children.values()))
    return isinstance(value, Instance)


def contents(value: Any) -> Iterator[Any]:
    """Yield the items of a list, tuple or container."""
    yield from value.children.values() if isinstance(value, Container) else value
