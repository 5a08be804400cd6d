"""Layers in the text of a printed model, in the order in which it lists them."""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.layer_calls import EXAMPLE, SourceText, layer_of_call
from dlnotes_cli.shell.errors import InputError

NOTE = (
    "a printed model lists modules in the order of __init__, and not what forward() does between them: "
    "give the file of the class if layers run in another order, run twice, or have skip connections"
)
MAX_LAYERS = 10_000  # with the copies that `3 x Block` stands for
_MODULE = re.compile(r"\s*(?:\((?P<name>[^()]+)\): )?(?:(?P<count>\d{1,4}) x )?(?P<type>[A-Za-z_]\w*)\((?P<rest>.*)$")
_NAMED = re.compile(r"^\s*\([\w.-]+(?:-\d+)?\): ", re.MULTILINE)
_WORD = re.compile(r"=(same|valid|tanh|relu)\b")  # strings that PyTorch prints without quotes
_SPATIAL = re.compile(r".*\dd$")
_RANKS_END = {"Flatten", "Linear", "Embedding", "RNN", "LSTM", "GRU"}


class _Leaf(NamedTuple):
    layer: Layer
    path: tuple[tuple[int, str], ...]  # the line and type of each module around it


def is_printed(text: str) -> bool:
    """Whether a text looks like a printed model."""
    return _NAMED.search(text) is not None


def printed_layers(source: SourceText) -> tuple[Layer, ...]:
    """The modules without children, in order; where a linear layer follows feature maps, Flatten() comes between."""
    lines = [line for line in enumerate(source.lines, 1) if line[1].strip()]
    leaves = list(_block(source, iter(lines), (), 0))
    if not leaves:
        raise InputError(source.file or "layers", "no layers", EXAMPLE)
    return tuple(_flattened(leaves))


def _block(
    source: SourceText, lines: Iterator[tuple[int, str]], path: tuple[tuple[int, str], ...], total: int
) -> Iterator[_Leaf]:
    """Yield the leaves up to the closing parenthesis."""
    for number, line in lines:
        if line.strip() == ")":
            return
        found = _MODULE.match(line)
        where = ast.Pass(lineno=number)
        if found is None:
            raise source.error(where, f"'{line.strip()}' is not a line of a printed model", EXAMPLE)
        count = int(found["count"] or 1)
        if found["rest"].strip():
            leaves = [_Leaf(_layer(source, where, found), path)]
        else:
            leaves = list(_block(source, lines, (*path, (number, found["type"])), total))
        total += count * len(leaves)
        if total > MAX_LAYERS:
            raise source.error(where, f"there are more than {MAX_LAYERS:,} layers", "use fewer")
        for _ in range(count):
            yield from (_Leaf(Layer(**vars(leaf.layer)), leaf.path) for leaf in leaves)


def printed_layer(text: str) -> Layer:
    """A layer without others inside, as PyTorch prints it; raises InputError where its arguments are no constants.

    >>> printed_layer("Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=same)").keywords[-1]
    ('padding', 'same')
    """
    found = _MODULE.match(text)
    source = SourceText([text])
    if found is None:
        raise source.error(ast.Pass(lineno=1), f"'{text}' is not a layer", EXAMPLE)
    return _layer(source, ast.Pass(lineno=1), found)


def _layer(source: SourceText, where: ast.Pass, found: re.Match[str]) -> Layer:
    text = f"{found['type']}({found['rest'].strip()}"
    try:
        call = ast.parse(_WORD.sub(r"='\1'", text), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise source.error(where, f"'{text}' is not a line of a printed model", EXAMPLE) from error
    if not isinstance(call, ast.Call):
        raise source.error(where, f"'{text}' is not a layer", EXAMPLE)
    layer = layer_of_call(call, found["type"], SourceText([_WORD.sub(r"='\1'", text)], source.file))
    return Layer(layer.name, layer.positional, layer.keywords, text, source.location(where))


def _flattened(leaves: Sequence[_Leaf]) -> Iterator[Layer]:
    """Yield the layers, with the Flatten() that a forward() of no Sequential must have before a linear layer."""
    is_spatial, spatial = False, leaves[0]
    for leaf in leaves:
        if leaf.layer.name == "Linear" and is_spatial and _parent(spatial, leaf) != "Sequential":
            yield Layer("Flatten", text="Flatten()", location=leaf.layer.location)
        yield leaf.layer
        if _SPATIAL.match(leaf.layer.name) or leaf.layer.name in _RANKS_END:
            is_spatial, spatial = leaf.layer.name not in _RANKS_END, leaf


def _parent(one: _Leaf, other: _Leaf) -> str:
    """The type of the innermost module around both."""
    shared = [left for left, right in zip(one.path, other.path, strict=False) if left == right]
    return shared[-1][1] if shared else "Sequential"
