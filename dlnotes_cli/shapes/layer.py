"""A layer as written, and what it computes for one sample: output shape, parameters, MACs, receptive field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dlnotes_cli.shapes.receptive_field import LayerField
from dlnotes_cli.shapes.sliding_window import SlidingWindow, TransposedWindow

Shape = tuple[int, ...]

INPUT = -1  # the position that stands for the input of the network
SPATIAL_LAYOUTS = {1: "CxL", 2: "CxHxW", 3: "CxDxHxW"}
INT64 = 2**63 - 1
MAX_BYTES = INT64  # of a float32 tensor, the limit of torch's storage
RESIDUAL = "Residual"  # the one layer that torch.nn lacks; its positional arguments are layers
MAX_ERROR_CHARS = 240  # of what is wrong and of how to fix it, each


class InvalidLayerError(Exception):
    """A layer that PyTorch would reject: what is wrong, and how to fix it. The tracer adds which layer it is."""

    def __init__(self, what: str, fix: str = "") -> None:
        self.what, self.fix = truncate(what, MAX_ERROR_CHARS), truncate(fix, MAX_ERROR_CHARS)
        super().__init__(what)


def require(is_met: object, what: str, fix: str = "") -> None:
    """Raise InvalidLayerError unless a condition is met."""
    if not is_met:
        raise InvalidLayerError(what, fix)


@dataclass(frozen=True)
class Layer:
    """One call as written, such as `Conv2d(3, 10, kernel_size=3)`.

    `location` is its file and line, or "". `tied` is how many of its parameters are those of another layer.
    """

    name: str
    positional: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()
    text: str = ""
    location: str = ""
    tied: int = 0


class LayerInfo(NamedTuple):
    """What one layer computes for a batch of one; shapes include that batch dimension.

    MACs are multiply-accumulate operations without the bias, which `bias_adds` counts.
    """

    output: Shape
    parameters: int = 0
    buffers: int = 0
    macs: int = 0
    bias_adds: int = 0
    is_view: bool = False  # the output shares the input's memory
    returns_indices: bool = False  # torch returns a pair of output and indices
    field: LayerField = "elementwise"
    windows: tuple[SlidingWindow | TransposedWindow, ...] = ()  # one for each spatial axis
    states: tuple[tuple[str, Shape], ...] = ()  # the states that a recurrent layer returns: name and shape
    size_formulas: tuple[str, ...] = ()  # one for each axis, where these are not the formulas of `windows`
    count_formulas: tuple[tuple[str, str], ...] = ()  # quantity ("parameters", "MACs") and formula


def format_shape(shape: Shape) -> str:
    """A shape as text.

    >>> format_shape((3, 130, 130))
    '3x130x130'
    """
    return "x".join(map(str, shape))


def format_call(name: str, positional: Sequence[Any], keywords: Mapping[str, Any]) -> str:
    """A call as text.

    >>> format_call("Conv2d", [3, 10], {"kernel_size": (3, 5)}), format_call("getitem", [(slice(None), -1)], {})
    ('Conv2d(3, 10, kernel_size=(3, 5))', 'getitem([:, -1])')
    """
    arguments = [*map(_value_text, positional), *(f"{key}={_value_text(value)}" for key, value in keywords.items())]
    return f"{name}({', '.join(arguments)})"


def _value_text(value: Any) -> str:
    items = value if isinstance(value, tuple) else (value,)
    if not any(isinstance(item, slice) or item is Ellipsis for item in items):
        return repr(value)
    return f"[{', '.join(map(_index_text, items))}]"


def _index_text(item: Any) -> str:
    if item is Ellipsis:
        return "..."
    if not isinstance(item, slice):
        return repr(item)
    limits = ["" if one is None else str(one) for one in (item.start, item.stop)]
    return ":".join(limits if item.step is None else [*limits, str(item.step)])


def truncate(text: str, width: int = 80) -> str:
    """A text of at most `width` characters."""
    return text if len(text) <= width else text[: width - 3] + "..."


def format_sample(shape: Shape) -> str:
    """A batched shape as text, without its batch dimension."""
    return format_shape(shape[1:]) or "a single number"


def spatial_size(shape: Shape, rank: int) -> Shape:
    """The last `rank` sizes of a shape that has channels before them; raises InvalidLayerError for other shapes."""
    what = f"expects {SPATIAL_LAYOUTS[rank]}, got {format_sample(shape)}"
    require(len(shape) in {rank + 1, rank + 2}, what, "put the channels first, then the spatial size")
    return shape[-rank:]
