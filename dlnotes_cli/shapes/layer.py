"""What a stack is made of: the layers as they were written, and what each does to one sample."""

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from dlnotes_cli.shapes.rules.windows import Slide, Transposed, Window

Shape = tuple[int, ...]
Reach = tuple[Window, ...] | Literal["same", "flat", "whole", "lost"]  # how an output position looks back at the input

SPACES = {1: "CxL", 2: "CxHxW", 3: "CxDxHxW"}
INT64 = 2**63 - 1
MAX_BYTES = INT64  # of one tensor of four-byte numbers, as torch's storage allows
RESIDUAL = "Residual"  # a layer of ours whose positional arguments are layers
MOST_WORDS = 240  # characters of an error's part, whatever was written


class RefusedError(Exception):
    """A layer that PyTorch would refuse: what is wrong, and what to write instead."""

    def __init__(self, what: str, fix: str = "") -> None:
        self.what, self.fix = shortened(what, MOST_WORDS), shortened(fix, MOST_WORDS)
        super().__init__(what)


@dataclass(frozen=True)
class Layer:
    """One call as written, `Conv2d(3, 10, kernel_size=3)`; `place` says where it stands in a file.

    `wanted` is the shape that must come out, where the code says so, as `view(-1, 400)` does.
    """

    name: str
    positional: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()
    text: str = ""
    place: str = ""
    wanted: Shape | None = None


@dataclass(frozen=True)
class Effect:
    """What one layer does to a batch of one; shapes carry that batch dimension in front."""

    output: Shape
    parameters: int = 0
    buffers: int = 0
    macs: int = 0
    bias_adds: int = 0
    is_view: bool = False  # the output lies in the input's memory
    is_pair: bool = False  # torch returns the output with indices beside it
    reach: Reach = "same"
    slides: tuple[Slide | Transposed, ...] = ()
    states: tuple[tuple[str, Shape], ...] = ()  # what a recurrent layer hands back beside its output
    sizes: tuple[str, ...] = ()  # the formula of each axis, where it is not a slide's
    formulas: tuple[tuple[str, str], ...] = ()  # of the other numbers: what, and how


def dims(shape: Shape) -> str:
    """Write a shape as the command line does.

    >>> dims((3, 130, 130))
    '3x130x130'
    """
    return "x".join(map(str, shape))


def shortened(text: str, width: int = 80) -> str:
    """A text that fits into an error or a column."""
    return text if len(text) <= width else text[: width - 3] + "..."


def sample(shape: Shape) -> str:
    """Write a shape without its batch dimension."""
    return dims(shape[1:]) or "a single number"


def space_of(shape: Shape, rank: int) -> Shape:
    """The last `rank` sizes of a shape that has channels before them."""
    if len(shape) not in {rank + 1, rank + 2}:
        raise RefusedError(f"takes {SPACES[rank]}, got {sample(shape)}", "channels come first, then the sizes of space")
    return shape[-rank:]


def check_size(what: str, shape: Shape) -> None:
    """Refuse a tensor that is empty or larger than 64 bits can address."""
    if min(shape, default=1) < 1:
        raise RefusedError(f"{what} of {dims(shape)} holds nothing", "every size must be at least 1")
    if prod(shape) * 4 > MAX_BYTES:
        raise RefusedError(f"{what} of {dims(shape)} is larger than 64 bits can address", "use smaller sizes")
