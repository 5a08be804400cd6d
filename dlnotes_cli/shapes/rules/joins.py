"""Operations that join several tensors of a forward(): arithmetic, concatenation, stacking, matrix products."""

from collections.abc import Sequence
from typing import Any

from dlnotes_cli.shapes.layer import InvalidLayerError, LayerInfo, Shape, format_shape


def broadcast(shapes: Sequence[Shape], *, is_inplace: bool = False) -> LayerInfo:
    """A sum, difference, product or quotient: dimensions of 1 are repeated, missing ones are added in front."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    if any(len({*sizes} - {1}) > 1 for sizes in zip(*padded, strict=True)):
        what = f"combines {' and '.join(map(shape_text, shapes))}, which do not have the same shape"
        raise InvalidLayerError(what, "give both branches the same channels and sizes")
    output = tuple(max(sizes) for sizes in zip(*padded, strict=True))
    if is_inplace and output != shapes[0]:
        raise InvalidLayerError(f"changes {shape_text(shapes[0])} in place to {shape_text(output)}", "write x = x + y")
    return LayerInfo(output, is_view=is_inplace)


def concatenate(shapes: Sequence[Shape], dim: Any = 0) -> LayerInfo:
    """`torch.cat`: sizes add up along one dimension and must be equal along the others."""
    axis = axis_of(dim, shapes[0])
    rests = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(rests) > 1 or len({len(shape) for shape in shapes}) > 1:
        what = f"concatenates {' and '.join(map(shape_text, shapes))}, which differ in more than dimension {axis}"
        raise InvalidLayerError(what, "give the branches the same spatial size")
    if axis == 0 and shapes[0][0] == 1:
        raise InvalidLayerError("concatenates along dimension 0, the batch", "use dim=1")
    output = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    return LayerInfo(output, field="elementwise" if axis == 1 else "rearranged")


def stack(shapes: Sequence[Shape], dim: Any = 0) -> LayerInfo:
    """`torch.stack`: tensors of one shape along a new dimension."""
    if len(set(shapes)) > 1:
        what = f"stacks {' and '.join(map(shape_text, shapes))}, which do not have the same shape"
        raise InvalidLayerError(what, "give the branches the same channels and sizes")
    axis = axis_of(dim, (*shapes[0], 1))
    if axis == 0:
        raise InvalidLayerError("stacks along dimension 0, before the batch", "use dim=1")
    return LayerInfo((*shapes[0][:axis], len(shapes), *shapes[0][axis:]), field="rearranged")


def matrix_product(shapes: Sequence[Shape]) -> LayerInfo:
    """`matmul`: the last two dimensions as matrices, those before them broadcast; its MACs are not counted."""
    left, right = shapes
    rank = min(map(len, shapes))
    if rank < 2 or left[-1] != right[-2]:  # noqa: PLR2004  # matrices
        what = f"multiplies matrices of {format_shape(left[-2:])} and {format_shape(right[-2:])}"
        raise InvalidLayerError(what, "the columns of the first must be the rows of the second")
    batch = broadcast([left[:-2] or (1,), right[:-2] or (1,)]).output if max(map(len, shapes)) > 2 else ()  # noqa: PLR2004
    return LayerInfo((*batch, left[-2], right[-1]), field="unknown")


def axis_of(dim: Any, shape: Shape) -> int:
    """A dimension as a number from 0; raises InvalidLayerError for one that a shape lacks."""
    count = len(shape)
    if not isinstance(dim, int) or not -count <= dim < count:
        raise InvalidLayerError(f"dim={dim} is not a dimension of {shape_text(shape)}", f"use {-count} to {count - 1}")
    return dim % count


def shape_text(shape: Shape) -> str:
    """A shape without the batch, if there is one."""
    return format_shape(shape[1:]) if shape[0] == 1 and len(shape) > 1 else format_shape(shape)
