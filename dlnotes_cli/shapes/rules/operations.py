"""Operations of a forward() that are no layers: joins of branches, views, indexing, reductions.

Shapes are those of a batch of one, with the batch dimension, as PyTorch sees them.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from dlnotes_cli.shapes.graph import OPERATION_PREFIX
from dlnotes_cli.shapes.layer import InvalidLayerError, Layer, LayerInfo, Shape, format_shape

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


def broadcast(shapes: Sequence[Shape], *, is_inplace: bool = False) -> LayerInfo:
    """A sum, difference, product or quotient: dimensions of 1 are repeated, missing ones are added in front."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    if any(len({*sizes} - {1}) > 1 for sizes in zip(*padded, strict=True)):
        what = f"combines {' and '.join(map(_text, shapes))}, which do not have the same shape"
        raise InvalidLayerError(what, "give both branches the same channels and sizes")
    output = tuple(max(sizes) for sizes in zip(*padded, strict=True))
    if is_inplace and output != shapes[0]:
        raise InvalidLayerError(f"changes {_text(shapes[0])} in place to {_text(output)}", "write x = x + y")
    return LayerInfo(output, is_view=is_inplace)


def concatenate(shapes: Sequence[Shape], dim: Any = 0) -> LayerInfo:
    """`torch.cat`: sizes add up along one dimension and must be equal along the others."""
    axis = _axis(dim, shapes[0])
    rests = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(rests) > 1 or len({len(shape) for shape in shapes}) > 1:
        what = f"concatenates {' and '.join(map(_text, shapes))}, which differ in more than dimension {axis}"
        raise InvalidLayerError(what, "give the branches the same spatial size")
    if axis == 0 and shapes[0][0] == 1:
        raise InvalidLayerError("concatenates along dimension 0, the batch", "use dim=1")
    output = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    return LayerInfo(output, field="elementwise" if axis == 1 else "rearranged")


def view(shapes: Sequence[Shape], *sizes: Any) -> LayerInfo:
    """`view` and `reshape`: the same values in row-major order; one size may be -1, which is inferred."""
    (shape,) = shapes
    requested = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
    if not all(isinstance(size, int) for size in requested) or min(requested, default=0) < -1 or 0 in requested:
        raise InvalidLayerError(f"{requested} are not sizes", "use positive integers, or one -1")
    known, values = prod(size for size in requested if size != -1), prod(shape)
    inferred = tuple(values // known if size == -1 else size for size in requested)
    if requested.count(-1) > 1 or prod(inferred) != values:
        raise InvalidLayerError(f"cannot make {format_shape(requested)} of {_text(shape)}", "correct the sizes")
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
    axes = [_axis(dim, shape) for dim in order]
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
    one, other = _axis(first, shape), _axis(second, shape)
    order[one], order[other] = order[other], order[one]
    return permute(shapes, order)


def squeeze(shapes: Sequence[Shape], dim: Any = None) -> LayerInfo:
    """`squeeze`: dimensions of 1 removed, the batch too if no dimension is named."""
    (shape,) = shapes
    if dim is None:
        raise InvalidLayerError("removes the batch dimension of a batch of one", "name the dimension, as squeeze(1)")
    axes = {_axis(one, shape) for one in (dim if isinstance(dim, tuple | list) else (dim,))}
    output = tuple(size for axis, size in enumerate(shape) if axis not in axes or size != 1)
    return LayerInfo(output, is_view=True, field="elementwise" if output == shape else "rearranged")


def unsqueeze(shapes: Sequence[Shape], dim: Any) -> LayerInfo:
    """`unsqueeze`: one more dimension of 1."""
    (shape,) = shapes
    axis = _axis(dim, (*shape, 1))
    return LayerInfo((*shape[:axis], 1, *shape[axis:]), is_view=True, field="rearranged")


def reduce(shapes: Sequence[Shape], dim: Any = None, *, keepdim: bool = False) -> LayerInfo:
    """`mean`, `sum` and other reductions of some dimensions."""
    (shape,) = shapes
    if dim is None:
        raise InvalidLayerError("reduces the batch too", "name the dimensions, as mean(dim=(2, 3))")
    axes = {_axis(one, shape) for one in (dim if isinstance(dim, tuple | list) else (dim,))}
    if 0 in axes and shape[0] == 1:
        raise InvalidLayerError("reduces dimension 0, the batch", "name other dimensions")
    output = tuple(1 if axis in axes else size for axis, size in enumerate(shape) if keepdim or axis not in axes)
    return LayerInfo(output, field="reduced" if axes == set(range(2, len(shape))) else "rearranged")


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
            raise InvalidLayerError(f"has too many indices for {_text(shape)}", f"use at most {len(shape)}")
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


def _axis(dim: Any, shape: Shape) -> int:
    count = len(shape)
    if not isinstance(dim, int) or not -count <= dim < count:
        raise InvalidLayerError(f"dim={dim} is not a dimension of {_text(shape)}", f"use {-count} to {count - 1}")
    return dim % count


def _text(shape: Shape) -> str:
    """A shape without the batch, if there is one."""
    return format_shape(shape[1:]) if shape[0] == 1 and len(shape) > 1 else format_shape(shape)


_RULES: dict[str, _Rule] = {
    "map": same_shape,
    "return": passed_on,
    "broadcast": broadcast,
    "cat": concatenate,
    "view": view,
    "permute": permute,
    "transpose": transpose,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "reduce": reduce,
    "index": index,
}
