"""The values of pasted code while it is read: modules, tensors of its graph, and what has no value before it runs."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dlnotes_cli.shapes.deferred import Deferred, ShapeOf
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
class Parts:
    """What `chunk`, `split` or `unbind` returns: parts of a tensor, each of which becomes a node where it is used.

    `count` is None where it follows from the shape.
    """

    tensor: Tensor
    function: str
    size: int | tuple[int, ...]  # the number of chunks, or the size of each part
    dim: int
    count: int | None


@dataclass(frozen=True)
class ConstantTensor:
    """A tensor that does not follow from the input, such as a parameter; it becomes a node where it is used."""

    layer: Layer

    @property
    def shape(self) -> tuple[Any, ...]:
        """The sizes, some of which may follow from the input."""
        return tuple(self.layer.positional)


@dataclass(frozen=True)
class UserClass:
    """A class of the pasted code; `bases` are the names of all its bases, `constants` include those of `parents`."""

    name: str
    own_methods: Mapping[str, ast.FunctionDef]
    constants: Mapping[str, Any]
    bases: tuple[str, ...]
    parents: "tuple[UserClass, ...]" = ()

    def method(self, name: str) -> "Function | None":
        """A method of the class or of its parents."""
        if name in self.own_methods:
            return Function(self.own_methods[name], defined_in=self)
        return self.inherited(name)

    def inherited(self, name: str) -> "Function | None":
        """A method of the parents, as super() finds it."""
        return next((found for parent in self.parents if (found := parent.method(name))), None)


@dataclass
class Instance:
    """A module made from a class of the pasted code."""

    user_class: UserClass
    attributes: dict[str, Any] = field(default_factory=dict)
    external: Any = None  # the Sequential or layer that it extends

    def set(self, name: str, value: Any) -> None:
        """Give an attribute a value; a Sequential runs the modules among its attributes."""
        self.attributes[name] = value
        if isinstance(self.external, Container) and is_module(value):
            self.external.children[name] = value


@dataclass(frozen=True)
class Function:
    """A function of the pasted code; with `owner`, a method bound to it; `scope` is where a nested one is defined."""

    definition: ast.FunctionDef
    owner: Instance | None = None
    defined_in: UserClass | None = None
    scope: "Scope | None" = None

    @property
    def decorators(self) -> set[str]:
        """The names of its decorators."""
        return {ast.unparse(one).rpartition(".")[2] for one in self.definition.decorator_list}


@dataclass
class Scope:
    """Names and their values, those around it behind them; `function` is the one whose body it belongs to."""

    names: dict[str, Any]
    outer: "Scope | None" = None
    function: Function | None = None

    @property
    def is_init(self) -> bool:
        """Whether it belongs to an `__init__`."""
        return self.function is not None and self.function.definition.name == "__init__"


@dataclass(frozen=True)
class Partial:
    """`functools.partial`: a class or function with some of its arguments."""

    function: Any
    positional: tuple[Any, ...]
    keywords: Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """A method of a value that is not an instance, such as `x.view`."""

    owner: Any
    name: str


CONTAINERS = {"Sequential", "ModuleList", "ModuleDict"}
RETURN_SELF = {"to", "cuda", "cpu", "eval", "train", "float", "double", "half", "requires_grad_", "apply", "compile"}
INSPECTIONS = {"parameters", "modules", "children", "named_parameters", "named_modules", "named_children", "buffers"}
REGISTRATIONS = {"add_module", "register_buffer", "register_parameter"}
PYTHON_NAMES = {
    "range", "len", "int", "float", "list", "tuple", "enumerate", "zip", "max", "min", "sum", "reversed", "abs", "bool",
    "str", "round", "dict", "all", "any", "super", "print", "isinstance", "getattr", "setattr", "hasattr", "next",
    "iter",
}  # fmt: skip
UNKNOWN = (
    Opaque | Broken | Deferred | ShapeOf | Tensor | State | Parts | ConstantTensor
)  # what a condition cannot depend on


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


def is_plain(value: Any) -> bool:
    """Whether a value is a number, a text, None, or a list of these: what a layer can have as an argument."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or isinstance(value, int | float | str)


def follows_from_shapes(value: Any) -> bool:
    """Whether a value is plain, or becomes so when the network is traced: what an operation can have as an argument."""
    if isinstance(value, list | tuple):
        return all(map(follows_from_shapes, value))
    return is_plain(value) or value is Ellipsis or isinstance(value, slice | Deferred | ShapeOf)
