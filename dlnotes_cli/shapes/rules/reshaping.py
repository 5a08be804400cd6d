"""Layers that rearrange or resize without weights: flatten, unflatten, pixel and channel shuffle, upsample."""

from math import isfinite, prod
from typing import Any

from dlnotes_cli.shapes.layer import LayerInfo, Shape, format_sample, format_shape, require
from dlnotes_cli.shapes.receptive_field import (
    MAX_PERIOD,
    AxisField,
    adaptive_field,
    interpolation_field,
    layer_field,
    nearest_field,
)
from dlnotes_cli.shapes.rules.arguments import Arguments, sizes
from dlnotes_cli.shapes.rules.features import check_channels_and_positions, dimension

_RANKS_OF_MODE = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}
_MODES_OF_ANY_RANK = ("nearest", "nearest-exact", "area")


def flatten(a: Arguments, shape: Shape) -> LayerInfo:
    """`Flatten`: dimensions start_dim to end_dim as one, in row-major order; the batch is dimension 0."""
    start, end = dimension("start_dim", a.start_dim, shape), dimension("end_dim", a.end_dim, shape)
    require(start <= end, f"start_dim={start} comes after end_dim={end}", "swap them")
    keeps_batch = start > 0 or prod(shape[1 : end + 1]) == 1
    require(keeps_batch, "start_dim=0 is the batch, whose samples it would merge", "start at 1")
    merged = shape[start : end + 1]
    return LayerInfo(
        (*shape[:start], prod(merged), *shape[end + 1 :]),
        is_view=True,
        field="flattened" if len(merged) > 1 else "elementwise",
        size_formulas=(f"{'*'.join(map(str, merged))} = {prod(merged)}",),
    )


def unflatten(a: Arguments, shape: Shape) -> LayerInfo:
    """`Unflatten`: one dimension as several; one size may be -1, which is inferred."""
    axis, requested = dimension("dim", a.dim, shape), a.unflattened_size
    what = f"unflattened_size={requested!r} is not a tuple of sizes"
    require(isinstance(requested, tuple | list) and requested, what, "use sizes such as (16, 5, 5)")
    parts = sizes("unflattened_size", requested, len(requested), -1)
    known = prod(size for size in parts if size != -1)
    require(parts.count(-1) <= 1, f"unflattened_size={requested} has more than one -1", "use -1 once")
    if known and shape[axis] % known == 0:
        parts = tuple(shape[axis] // known if size == -1 else size for size in parts)
    what = f"{shape[axis]} values cannot be reshaped to {format_shape(parts)}"
    require(prod(parts) == shape[axis], what, "choose sizes with that product")
    output = (*shape[:axis], *parts, *shape[axis + 1 :])
    return LayerInfo(output, is_view=True, field="unknown" if len(parts) > 1 else "elementwise")


def pixel_shuffle(a: Arguments, shape: Shape) -> LayerInfo:
    """`PixelShuffle` by r: C*r*r x H x W becomes C x H*r x W*r."""
    from fractions import Fraction  # only layers that enlarge need it

    factor, (channels, height, width) = a.upscale_factor, _image_sizes(shape)
    what = f"{channels} channels are not divisible by {factor}*{factor}"
    require(channels % factor**2 == 0, what, "choose another factor")
    output = (*shape[:-3], channels // factor**2, height * factor, width * factor)
    return LayerInfo(output, field=layer_field([nearest_field(Fraction(1, factor))] * 2))


def pixel_unshuffle(a: Arguments, shape: Shape) -> LayerInfo:
    """`PixelUnshuffle` by r: C x H*r x W*r becomes C*r*r x H x W."""
    factor, (channels, height, width) = a.downscale_factor, _image_sizes(shape)
    for size in (height, width):
        require(size % factor == 0, f"a size of {size} is not divisible by {factor}", "choose another factor")
    output = (*shape[:-3], channels * factor**2, height // factor, width // factor)
    return LayerInfo(output, field=(AxisField((0,), (factor - 1,), factor),) * 2)


def _image_sizes(shape: Shape) -> Shape:
    """Channels, height and width."""
    require(len(shape) > 2, f"expects CxHxW, got {format_sample(shape)}")  # noqa: PLR2004
    return shape[-3:]


def channel_shuffle(a: Arguments, shape: Shape) -> LayerInfo:
    """`ChannelShuffle`: channels reordered across groups."""
    check_channels_and_positions(shape)
    require(shape[1] % a.groups == 0, f"{shape[1]} channels are not divisible by groups={a.groups}", "use a divisor")
    return LayerInfo(shape)


def upsample(a: Arguments, shape: Shape) -> LayerInfo:
    """`Upsample`: resize the spatial axes to `size`, or to floor(size * scale_factor)."""
    is_bilinear = a.layer == "UpsamplingBilinear2d"  # whose name fixes the mode, as that of UpsamplingNearest2d does
    mode: str = vars(a).get("mode", "bilinear" if is_bilinear else "nearest")
    is_aligned, is_recomputed = vars(a).get("align_corners", is_bilinear or None), vars(a).get("recompute_scale_factor")
    rank, spatial = len(shape) - 2, shape[2:]
    modes = ", ".join((*_MODES_OF_ANY_RANK, *(name for name, ranks in _RANKS_OF_MODE.items() if rank in ranks)))
    fix = f"use {modes}" if rank in {1, 2, 3} else "use CxL, CxHxW or CxDxHxW"
    what = f"mode='{mode}' does not resize {format_sample(shape)}"
    require(rank in _RANKS_OF_MODE.get(mode, (1, 2, 3)), what, fix)
    has_corners = mode not in _MODES_OF_ANY_RANK or is_aligned is None
    require(has_corners, f"align_corners does not apply to mode='{mode}'", "leave it out")
    is_answer = isinstance(is_aligned, bool | None)
    require(is_answer, f"align_corners={is_aligned} is neither True nor False", "give one of them")
    outputs, scales = _output_size(a, spatial, has_size_only=not is_recomputed)
    if mode == "area" or is_recomputed:
        scales = None
    axes = list(zip(spatial, outputs, scales or (None,) * rank, strict=True))
    return LayerInfo(
        (*shape[:2], *outputs),
        field=layer_field(_resize_field(mode, *axis, is_aligned=bool(is_aligned)) for axis in axes),
        size_formulas=tuple(f"floor({size} * {scale:g}) = {out}" for size, out, scale in axes if scale is not None),
    )


def _output_size(a: Arguments, spatial: Shape, *, has_size_only: bool) -> tuple[Shape, tuple[float, ...] | None]:
    """The output size, and the scale factors if they determine it."""
    factor, rank = a.scale_factor or None, len(spatial)
    require((a.size is None) != (factor is None), "needs either size or scale_factor", "pass one of them")
    if a.size is not None:
        require(has_size_only, "recompute_scale_factor does not apply to size", "leave it out")
        return sizes("size", a.size, rank, 1), None
    factors: tuple[Any, ...] = factor if isinstance(factor, tuple) else (factor,) * rank
    require(len(factors) == rank, f"scale_factor={factor!r} has {len(factors)} numbers for {rank} axes")
    are_numbers = all(isinstance(one, int | float) and isfinite(one) for one in factors)
    require(are_numbers, f"scale_factor={factor!r} is not a number", "use a number, or a tuple of them")
    return tuple(int(size * float(one)) for size, one in zip(spatial, factors, strict=True)), tuple(map(float, factors))


def _resize_field(mode: str, size: int, out: int, scale: float | None, *, is_aligned: bool) -> AxisField | None:
    from fractions import Fraction

    if out < 1:
        return None
    slope = Fraction(size, out) if scale is None else Fraction(1 / scale).limit_denominator(MAX_PERIOD)
    margin = int(mode == "bicubic")
    if mode == "area":
        return adaptive_field(size, out)
    if mode == "nearest":
        return nearest_field(slope)
    if is_aligned:
        return interpolation_field(Fraction(size - 1, max(out - 1, 1)), 0, margin)
    if mode == "nearest-exact":
        return nearest_field(slope, slope / 2)
    return interpolation_field(slope, slope / 2 - Fraction(1, 2), margin)
