"""The arguments of a layer: bound to PyTorch's signature, and checked by the kinds that its declaration names.

A declaration has PyTorch's parameters with their defaults, and behind a colon the kind of some: `int`, `number`, `bool`
or `a|b` for a choice; `sizes` is an integer for each spatial axis, for which a single one stands, and `exact` the same
without tuples of one. A digit is the least value. `number?` may be None. What has no kind is checked by the rule.
"""

import ast
from functools import cache
from inspect import Parameter, Signature
from types import SimpleNamespace
from typing import Any

from dlnotes_cli.shapes.layer import INT64, InvalidLayerError, Layer, Shape, require
from dlnotes_cli.shell.errors import nearest


class Arguments(SimpleNamespace):
    """The arguments of one call by name, defaults included.

    `layer` is the name of the layer, `rank` its number of spatial axes, `keywords` the names that are passed by name.
    """


@cache
def parameters(declaration: str) -> tuple[Parameter, ...]:
    """The parameters of a declaration; the annotation of each is its kind."""
    found: list[Parameter] = []
    before, _, after = f", {declaration}".partition(", *")
    for part, how in ((before, Parameter.POSITIONAL_OR_KEYWORD), (after, Parameter.KEYWORD_ONLY)):
        for text in filter(None, part.split(", ")):
            name, equals, default = text.partition("=")
            name, _, kind = name.partition(":")
            value = ast.literal_eval(default) if equals else Parameter.empty
            found.append(Parameter(name, how, default=value, annotation=kind))
    return tuple(found)


def bind(layer: Layer, declaration: str, rank: int = 0) -> Arguments:
    """Match a call to a declaration as Python does; raises InvalidLayerError for what Python or PyTorch rejects.

    >>> bind(Layer("Conv2d", (3,), (("kernel_size", 5),)), "in_channels:int1, kernel_size:sizes1, stride=1", 2)
    Arguments(layer='Conv2d', rank=2, keywords=['kernel_size'], in_channels=3, kernel_size=(5, 5), stride=1)
    """
    keywords = [name for name, _ in layer.keywords]
    if declaration == "*":  # any arguments
        return Arguments(layer=layer.name, rank=rank, keywords=keywords)
    declared = {one.name: one for one in parameters(declaration)}
    the_known = f"the arguments are {', '.join(declared) or 'none'}"
    for name in keywords:
        if name not in declared:
            near = nearest(name, declared)
            raise InvalidLayerError(f"no argument '{name}'", f"did you mean '{near}'?" if near else the_known)
    try:
        bound = Signature([*declared.values()]).bind(*layer.positional, **dict(layer.keywords))
    except TypeError as error:
        raise InvalidLayerError(str(error), the_known) from error
    bound.apply_defaults()
    checked = {name: _checked(name, declared[name].annotation, value, rank) for name, value in bound.arguments.items()}
    return Arguments(layer=layer.name, rank=rank, keywords=keywords, **checked)


def _checked(name: str, declared: str, value: Any, rank: int) -> Any:
    kind = declared.rstrip("01")
    minimum = int(declared[-1]) if kind != declared else -INT64
    is_choice = "|" not in kind or value in kind.split("|")
    require(is_choice, f"{name}={value!r} is unknown", f"choose from {kind.replace('|', ', ')}")
    if kind == "int":
        return integer(name, value, minimum)
    if kind in {"sizes", "exact"}:
        return sizes(name, value, rank, minimum, expands=kind == "sizes")
    types = {"number": int | float, "number?": int | float | None, "bool": bool}.get(kind, object)
    require(isinstance(value, types), f"{name}={value!r} is not {'True or False' if kind == 'bool' else 'a number'}")
    return value


def sizes(name: str, value: Any, rank: int, minimum: int, *, expands: bool = False) -> Shape:
    """One integer for each of `rank` axes; if it `expands`, a tuple of one is allowed for all of them."""
    items = tuple(value) if isinstance(value, tuple | list) else (value,) * rank
    if len(items) == 1 and expands:
        items *= rank
    what = f"{name}={value!r} has {len(items)} numbers for {rank} axes"
    require(len(items) == rank, what, f"use one number, or {rank}")
    return tuple(integer(name, item, minimum) for item in items)


def integer(name: str, value: Any, minimum: int = -INT64) -> int:
    """An integer of at least `minimum`; bool is not accepted."""
    require(type(value) is int, f"{name}={value!r} is not an integer")
    require(abs(value) <= INT64, f"{name} does not fit in 64 bits", "use a smaller number")
    require(value >= minimum, f"{name}={value} is below {minimum}", f"use {minimum} or more")
    return int(value)
