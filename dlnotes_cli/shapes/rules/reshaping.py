"""Layers that rearrange or resize without weights: flatten, unflatten, pixel and channel shuffle, upsample."""

from math import isfinite, prod
from typing import Any

from dlnotes_cli.shapes.layer import (
    InvalidLayerError,
    LayerInfo,
    Shape,
    check_tensor_size,
    format_sample,
    format_shape,
)
from dlnotes_cli.shapes.receptive_field import (
    MAX_PERIOD,
    AxisField,
    adaptive_field,
    interpolation_field,
    layer_field,
    nearest_field,
)
from dlnotes_cli.shapes.rules.activations import dimension
from dlnotes_cli.shapes.rules.arguments import Arguments

_RANKS_OF_MODE = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}
_MODES_OF_ANY_RANK = ("nearest", "nearest-exact", "area")


def flatten(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`Flatten`: dimensions start_dim to end_dim as one, in row-major order; the batch is dimension 0."""
    start, end = dimension(arguments, "start_dim", shape), dimension(arguments, "end_dim", shape)
    if start > end:
        raise InvalidLayerError(f"start_dim={start} comes after end_dim={end}", "swap them")
    if start == 0 and prod(shape[1 : end + 1]) > 1:
        raise InvalidLayerError("start_dim=0 is the batch, whose samples it would merge", "start at 1")
    merged = shape[start : end + 1]
    output = (*shape[:start], prod(merged), *shape[end + 1 :])
    formula = f"{'*'.join(map(str, merged))} = {prod(merged)}"
    return LayerInfo(
        output,
        is_view=True,
        field="flattened" if len(merged) > 1 else "elementwise",
        size_formulas=(formula,),
    )


def unflatten(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`Unflatten`: one dimension as several; one size may be -1, which is inferred."""
    axis = dimension(arguments, "dim", shape)
    requested = arguments["unflattened_size"]
    if not isinstance(requested, tuple | list) or not requested:
        what = f"unflattened_size={requested!r} is not a tuple of sizes"
        raise InvalidLayerError(what, "use sizes such as (16, 5, 5)")
    sizes = arguments.sizes("unflattened_size", len(requested), minimum=-1)
    known = prod(size for size in sizes if size != -1)
    if sizes.count(-1) > 1:
        raise InvalidLayerError(f"unflattened_size={requested} has more than one -1", "use -1 once")
    if sizes.count(-1) and known and shape[axis] % known == 0:
        sizes = tuple(shape[axis] // known if size == -1 else size for size in sizes)
    if prod(sizes) != shape[axis]:
        what = f"{shape[axis]} values cannot be reshaped to {format_shape(sizes)}"
        raise InvalidLayerError(what, "choose sizes with that product")
    output = (*shape[:axis], *sizes, *shape[axis + 1 :])
    return LayerInfo(output, is_view=True, field="unknown" if len(sizes) > 1 else "elementwise")


def pixel_shuffle(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`PixelShuffle` by r: C*r*r x H x W becomes C x H*r x W*r."""
    factor = arguments.integer("upscale_factor", 1)
    _check_image(shape)
    channels, height, width = shape[-3:]
    if channels % (factor * factor):
        what = f"{channels} channels are not divisible by {factor}*{factor}"
        raise InvalidLayerError(what, "choose another factor")
    output = (*shape[:-3], channels // factor**2, height * factor, width * factor)
    from fractions import Fraction  # only layers that enlarge need it

    return LayerInfo(output, field=layer_field([nearest_field(Fraction(1, factor))] * 2))


def pixel_unshuffle(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`PixelUnshuffle` by r: C x H*r x W*r becomes C*r*r x H x W."""
    factor = arguments.integer("downscale_factor", 1)
    _check_image(shape)
    channels, height, width = shape[-3:]
    for size in (height, width):
        if size % factor:
            raise InvalidLayerError(f"a size of {size} is not divisible by {factor}", "choose another factor")
    output = (*shape[:-3], channels * factor**2, height // factor, width // factor)
    return LayerInfo(output, field=(AxisField((0,), (factor - 1,), factor),) * 2)


def channel_shuffle(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`ChannelShuffle`: channels reordered across groups."""
    groups = arguments.integer("groups", 1)
    if len(shape) < 3:  # noqa: PLR2004  # batch, channels and a spatial size
        raise InvalidLayerError(f"expects channels and a spatial size, got {format_sample(shape)}")
    if shape[1] % groups:
        raise InvalidLayerError(f"{shape[1]} channels are not divisible by groups={groups}", "use a divisor")
    return LayerInfo(shape)


def upsample(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`Upsample`: resize the spatial axes to `size`, or to floor(size * scale_factor)."""
    mode = arguments.choice("mode", (*_MODES_OF_ANY_RANK, *_RANKS_OF_MODE))
    rank = len(shape) - 2
    if rank not in _RANKS_OF_MODE.get(mode, (1, 2, 3)):
        raise InvalidLayerError(f"mode='{mode}' does not resize {format_sample(shape)}", _modes_for(rank))
    if mode in _MODES_OF_ANY_RANK and arguments["align_corners"] is not None:
        raise InvalidLayerError(f"align_corners does not apply to mode='{mode}'", "leave it out")
    spatial = shape[2:]
    sizes, scales = _output_size(arguments, spatial)
    output = (*shape[:2], *sizes)
    check_tensor_size("an output", output)
    if mode == "area" or arguments["recompute_scale_factor"]:
        scales = None
    is_aligned = arguments["align_corners"]
    if not isinstance(is_aligned, bool | None):
        raise InvalidLayerError(f"align_corners={is_aligned} is neither True nor False", "give one of them")
    axes = (
        _resize_field(mode, size, out, scales[axis] if scales else None, is_aligned=bool(is_aligned))
        for axis, (size, out) in enumerate(zip(spatial, sizes, strict=True))
    )
    return LayerInfo(output, field=layer_field(axes), size_formulas=_formulas(spatial, sizes, scales))


def _check_image(shape: Shape) -> None:
    if len(shape) < 3:  # noqa: PLR2004  # channels, height and width
        raise InvalidLayerError(f"expects CxHxW, got {format_sample(shape)}")


def _modes_for(rank: int) -> str:
    modes = [mode for mode, ranks in _RANKS_OF_MODE.items() if rank in ranks]
    return f"use {', '.join((*_MODES_OF_ANY_RANK, *modes))}" if rank in {1, 2, 3} else "use CxL, CxHxW or CxDxHxW"


def _output_size(arguments: Arguments, spatial: Shape) -> tuple[Shape, tuple[float, ...] | None]:
    """The output size, and the scale factors if they determine it."""
    size, factor = arguments["size"], arguments["scale_factor"] or None
    if (size is None) == (factor is None):
        raise InvalidLayerError("needs either size or scale_factor", "pass one of them")
    if size is not None:
        if arguments["recompute_scale_factor"]:
            raise InvalidLayerError("recompute_scale_factor does not apply to size", "leave it out")
        return arguments.sizes("size", len(spatial), minimum=1, expand_single=False), None
    factors: tuple[Any, ...] = factor if isinstance(factor, tuple) else (factor,) * len(spatial)
    if len(factors) != len(spatial):
        raise InvalidLayerError(f"scale_factor={factor!r} has {len(factors)} numbers for {len(spatial)} axes")
    if not all(isinstance(one, int | float) and isfinite(one) for one in factors):
        raise InvalidLayerError(f"scale_factor={factor!r} is not a number", "use a number, or a tuple of them")
    scales = tuple(float(one) for one in factors)
    return tuple(int(size * scale) for size, scale in zip(spatial, scales, strict=True)), scales


def _resize_field(mode: str, size: int, out: int, scale: float | None, *, is_aligned: bool) -> AxisField | None:
    from fractions import Fraction

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


def _formulas(spatial: Shape, sizes: Shape, scales: tuple[float, ...] | None) -> tuple[str, ...]:
    if scales is None:
        return ()
    return tuple(f"floor({size} * {scale:g}) = {out}" for size, out, scale in zip(spatial, sizes, scales, strict=True))
