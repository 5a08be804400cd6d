"""Operations of a forward() on one tensor that are no layers: views, parts, indexing, reductions; their table.

Shapes are those of a batch of one, with the batch dimension, as PyTorch sees them.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from dlnotes_cli.shapes.graph import OPERATION_PREFIX
from dlnotes_cli.shapes.layer import InvalidLayerError, Layer, LayerInfo, Shape, format_shape
from dlnotes_cli.shapes.rules.joins import axis_of, broadcast, concatenate, matrix_product, shape_text, stack

MAX_PARTS = 10_000
_Rule = Callable[..., LayerInfo]  # input shapes, then the arguments of the layer


def operation_info(layer: Layer, shapes: Sequence[Shape]) -> LayerInfo:
    """What one operation computes; raises InvalidLayerError where PyTorch raises an error."""
    rule = _RULES[layer.name.removeprefix(OPERATION_PREFIX)]
    try:
        return rule(shapes, *layer.positional, **dict(layer.keywords))
    except (TypeError, ValueError) as error:  # as Python raises for wrong arguments
        raise InvalidLayerError("has arguments that are not supported", "use integers") from error


def same_shape(shapes: Sequence[Shape]) -> LayerInfo:
    """An elementwise function."""
    return LayerInfo(shapes[0])


def passed_on(shapes: Sequence[Shape]) -> LayerInfo:
    """The input itself, as the result of the network."""
    return LayerInfo(shapes[0], is_view=True)


def constant(_shapes: Sequence[Shape], *sizes: Any, counted_as: str = "") -> LayerInfo:
    """A tensor that does not follow from the input, which may be a parameter or a buffer."""
    values = prod(sizes)
    counts = {"parameters": values} if counted_as == "parameters" else {"buffers": values} if counted_as else {}
    return LayerInfo(sizes, **counts, field="unknown")


def expand(shapes: Sequence[Shape], *sizes: Any) -> LayerInfo:
    """`expand`: dimensions of 1 repeated; -1 keeps a size, missing dimensions are added in front."""
    (shape,), requested = shapes, _sizes(sizes)
    missing = len(requested) - len(shape)
    before = (*(1,) * missing, *shape)
    output = tuple(old if new == -1 else new for new, old in zip(requested, before, strict=False))
    if missing < 0 or any(new < 1 or old not in {1, new} for new, old in zip(output, before, strict=True)):
        raise InvalidLayerError(f"cannot expand {shape_text(shape)} to {format_shape(requested)}", "correct the sizes")
    return LayerInfo(output, is_view=True, field="elementwise" if output == shape else "rearranged")


def repeat(shapes: Sequence[Shape], *times: Any) -> LayerInfo:
    """`repeat`: copies along each dimension, new ones in front."""
    (shape,), counts = shapes, _sizes(times)
    missing = len(counts) - len(shape)
    if missing < 0 or min(counts, default=1) < 1:
        raise InvalidLayerError(f"cannot repeat {shape_text(shape)} by {counts}", f"use {len(shape)} positive integers")
    output = tuple(count * size for count, size in zip(counts, (*(1,) * missing, *shape), strict=True))
    if shape[0] == 1 and not missing and output[0] != 1:
        raise InvalidLayerError("repeats dimension 0, the batch", "start with 1")
    return LayerInfo(output, field="elementwise" if output == shape else "rearranged")


def part(shapes: Sequence[Shape], function: str, size: Any, dim: Any, index: int, count: int | None) -> LayerInfo:
    """One of the parts that `chunk`, `split` or `unbind` returns."""
    (shape,) = shapes
    axis = axis_of(dim, shape)
    if axis == 0 and shape[0] == 1:
        raise InvalidLayerError("splits dimension 0, the batch", "use dim=1")
    widths = _widths(function, size, shape[axis])
    if count not in {None, len(widths)}:
        what = f"has {len(widths)} parts along dimension {axis} of {shape_text(shape)}, and the code takes {count}"
        raise InvalidLayerError(what, "correct the number")
    if not -len(widths) <= index < len(widths):
        raise InvalidLayerError(f"has {len(widths)} parts, and no part {index}", f"use 0 to {len(widths) - 1}")
    kept = () if function == "unbind" else (widths[index],)
    is_same_grid = axis == 1 and function != "unbind"
    output = (*shape[:axis], *kept, *shape[axis + 1 :])
    return LayerInfo(output, is_view=True, field="elementwise" if is_same_grid else "rearranged")


def _widths(function: str, size: Any, total: int) -> list[int]:
    """The size of each part of a dimension of size `total`."""
    if isinstance(size, tuple):
        if sum(size) != total or min(size) < 1:
            raise InvalidLayerError(f"parts of {size} are not {total} together", "correct the sizes")
        return list(size)
    if size < 1:
        raise InvalidLayerError(f"{size} is below 1", "use a positive integer")
    width = -(-total // size) if function == "chunk" else size
    return [min(width, total - start) for start in range(0, total, width)] if total // width <= MAX_PARTS else []


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes written one by one, or as one tuple."""
    found = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
    if not all(isinstance(size, int) for size in found):
        raise InvalidLayerError(f"{found} are not sizes", "use integers")
    return found


def view(shapes: Sequence[Shape], *sizes: Any) -> LayerInfo:
    """`view` and `reshape`: the same values in row-major order; one size may be -1, which is inferred."""
    (shape,) = shapes
    requested = _sizes(sizes)
    if min(requested, default=0) < -1 or 0 in requested:
        raise InvalidLayerError(f"{requested} are not sizes", "use positive integers, or one -1")
    known, values = prod(size for size in requested if size != -1), prod(shape)
    inferred = tuple(values // known if size == -1 else size for size in requested)
    if requested.count(-1) > 1 or prod(inferred) != values:
        raise InvalidLayerError(f"cannot make {format_shape(requested)} of {shape_text(shape)}", "correct the sizes")
    if inferred == shape:
        return LayerInfo(shape, is_view=True)
    return LayerInfo(inferred, is_view=True, field="rearranged")


def merged_rows(shape: Shape, width: int) -> Shape | None:
    """The result of `view(-1, width)` if it merges whole dimensions, as (1, L, H) to (L, H), else None."""
    for axis in range(len(shape) - 1, 0, -1):
        if prod(shape[axis:]) == width:
            return (prod(shape[:axis]), width)
    return None


def permute(shapes: Sequence[Shape], *dims: Any) -> LayerInfo:
    """`permute`: the dimensions in another order."""
    (shape,) = shapes
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], tuple | list) else dims
    axes = [axis_of(dim, shape) for dim in order]
    if sorted(axes) != list(range(len(shape))):
        raise InvalidLayerError(
            f"{tuple(order)} is not an order of {len(shape)} dimensions", "name each dimension once"
        )
    is_unchanged = axes == list(range(len(shape)))
    output = tuple(shape[axis] for axis in axes)
    return LayerInfo(output, is_view=True, field="elementwise" if is_unchanged else "rearranged")


def transpose(shapes: Sequence[Shape], first: Any, second: Any) -> LayerInfo:
    """`transpose`: two dimensions swapped."""
    (shape,) = shapes
    order = list(range(len(shape)))
    one, other = axis_of(first, shape), axis_of(second, shape)
    order[one], order[other] = order[other], order[one]
    return permute(shapes, order)


def squeeze(shapes: Sequence[Shape], dim: Any = None) -> LayerInfo:
    """`squeeze`: dimensions of 1 removed, the batch too if no dimension is named."""
    (shape,) = shapes
    if dim is None:
        raise InvalidLayerError("removes the batch dimension of a batch of one", "name the dimension, as squeeze(1)")
    axes = _axes(dim, shape)
    output = tuple(size for axis, size in enumerate(shape) if axis not in axes or size != 1)
    return LayerInfo(output, is_view=True, field="elementwise" if output == shape else "rearranged")


def unsqueeze(shapes: Sequence[Shape], dim: Any) -> LayerInfo:
    """`unsqueeze`: one more dimension of 1."""
    (shape,) = shapes
    axis = axis_of(dim, (*shape, 1))
    return LayerInfo((*shape[:axis], 1, *shape[axis:]), is_view=True, field="rearranged")


def reduce(shapes: Sequence[Shape], dim: Any = None, *, keepdim: bool = False) -> LayerInfo:
    """`mean`, `sum` and other reductions of some dimensions."""
    (shape,) = shapes
    if dim is None:
        raise InvalidLayerError("reduces the batch too", "name the dimensions, as mean(dim=(2, 3))")
    axes = _axes(dim, shape)
    if 0 in axes and shape[0] == 1:
        raise InvalidLayerError("reduces dimension 0, the batch", "name other dimensions")
    output = tuple(1 if axis in axes else size for axis, size in enumerate(shape) if keepdim or axis not in axes)
    return LayerInfo(output, field="reduced" if axes == set(range(2, len(shape))) else "rearranged")


def _axes(dim: Any, shape: Shape) -> set[int]:
    """One dimension, or several that differ, as numbers from 0."""
    axes = [axis_of(one, shape) for one in (dim if isinstance(dim, tuple | list) else (dim,))]
    if len(set(axes)) < len(axes):
        raise InvalidLayerError(f"dim={dim} names a dimension twice", "name each dimension once")
    return set(axes)


def index(shapes: Sequence[Shape], *items: Any) -> LayerInfo:
    """Indexing by integers, slices, None and `...`."""
    (shape,) = shapes
    if items.count(Ellipsis):
        at, missing = items.index(Ellipsis), len(shape) - sum(item is not None for item in items) + 1
        items = (*items[:at], *(slice(None),) * missing, *items[at + 1 :])
    if items and items[0] != slice(None) and shape[0] == 1:
        raise InvalidLayerError("selects samples of the batch", "start with a colon, as in x[:, -1]")
    output: list[int] = []
    axis = 0
    for item in items:
        if item is None:
            output.append(1)
            continue
        if axis == len(shape):
            raise InvalidLayerError(f"has too many indices for {shape_text(shape)}", f"use at most {len(shape)}")
        output += _indexed(item, shape[axis], axis)
        axis += 1
    result = (*output, *shape[axis:])
    return LayerInfo(result, is_view=True, field="elementwise" if result[2:] == shape[2:] else "rearranged")


def _indexed(item: Any, size: int, axis: int) -> list[int]:
    """The sizes that one index leaves of a dimension: none for an integer, one for a slice."""
    if isinstance(item, slice):
        count = len(range(*item.indices(size)))
        if not count:
            raise InvalidLayerError(f"selects nothing of dimension {axis}, which has {size}", "use other limits")
        return [count]
    if not -size <= item < size:
        raise InvalidLayerError(f"{item} is outside dimension {axis}, which has {size}", f"use {-size} to {size - 1}")
    return []


def tied_linear(shapes: Sequence[Shape], outputs: int) -> LayerInfo:
    """A linear layer with a bias whose weights are those of an embedding, where they are counted."""
    (shape,) = shapes
    positions = prod(shape[:-1])
    return LayerInfo(
        (*shape[:-1], outputs),
        parameters=outputs, macs=positions * shape[-1] * outputs, bias_adds=positions * outputs, field="unknown",
    )  # fmt: skip


_RULES: dict[str, _Rule] = {
    "map": same_shape,
    "return": passed_on,
    "broadcast": broadcast,
    "cat": concatenate,
    "constant": constant,
    "stack": stack,
    "matmul": matrix_product,
    "tied_linear": tied_linear,
    "expand": expand,
    "repeat": repeat,
    "part": part,
    "view": view,
    "permute": permute,
    "transpose": transpose,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "reduce": reduce,
    "index": index,
}
