"""Layers that move values without changing them: flatten, shuffle, upsample."""

from fractions import Fraction
from math import isfinite, prod
from typing import Any

from dlnotes_cli.shapes.layer import Effect, RefusedError, Shape, check_size, dims, sample
from dlnotes_cli.shapes.rules.activations import axis_of
from dlnotes_cli.shapes.rules.arguments import Arguments
from dlnotes_cli.shapes.rules.windows import MAX_PERIOD, Window, followed, sampled, shared

_RANKS = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}
_PLAIN_MODES = ("nearest", "nearest-exact", "area")


def flatten(given: Arguments, shape: Shape) -> Effect:
    """Several dimensions as one, in row order; the batch is dimension 0."""
    start, end = axis_of(given, "start_dim", shape), axis_of(given, "end_dim", shape)
    if start > end:
        raise RefusedError(f"start_dim={start} comes after end_dim={end}", "swap them")
    if start == 0 and prod(shape[1 : end + 1]) > 1:
        raise RefusedError("start_dim=0 is the batch, whose samples it would run together", "start at 1")
    merged = shape[start : end + 1]
    output = (*shape[:start], prod(merged), *shape[end + 1 :])
    formula = f"{'*'.join(map(str, merged))} = {prod(merged)}"
    return Effect(output, is_view=True, reach="flat" if len(merged) > 1 else "same", sizes=(formula,))


def unflatten(given: Arguments, shape: Shape) -> Effect:
    """One dimension as several; one of them may be -1, for what is left."""
    axis = axis_of(given, "dim", shape)
    wanted = given["unflattened_size"]
    if not isinstance(wanted, tuple | list) or not wanted:
        raise RefusedError(f"unflattened_size={wanted!r} is not a tuple of sizes", "give sizes such as (16, 5, 5)")
    sizes = given.sizes("unflattened_size", len(wanted), least=-1)
    known = prod(size for size in sizes if size != -1)
    if sizes.count(-1) > 1:
        raise RefusedError(f"unflattened_size={wanted} leaves more than one size open", "use -1 once")
    if sizes.count(-1) and known and shape[axis] % known == 0:
        sizes = tuple(shape[axis] // known if size == -1 else size for size in sizes)
    if prod(sizes) != shape[axis]:
        raise RefusedError(f"{shape[axis]} values do not make {dims(sizes)}", "choose sizes with that product")
    return Effect((*shape[:axis], *sizes, *shape[axis + 1 :]), is_view=True, reach="lost" if len(sizes) > 1 else "same")


def pixel_shuffle(given: Arguments, shape: Shape) -> Effect:
    """Channels into space: C*r*r x H x W becomes C x H*r x W*r."""
    factor = given.whole("upscale_factor", 1)
    _check_image(shape)
    channels, height, width = shape[-3:]
    if channels % (factor * factor):
        raise RefusedError(f"{channels} channels do not divide by {factor}*{factor}", "choose a factor that does")
    output = (*shape[:-3], channels // factor**2, height * factor, width * factor)
    return Effect(output, reach=followed([sampled_floor(Fraction(1, factor))] * 2))


def pixel_unshuffle(given: Arguments, shape: Shape) -> Effect:
    """Space into channels: C x H*r x W*r becomes C*r*r x H x W."""
    factor = given.whole("downscale_factor", 1)
    _check_image(shape)
    channels, height, width = shape[-3:]
    for size in (height, width):
        if size % factor:
            raise RefusedError(f"a size of {size} does not divide by {factor}", "choose a factor that does")
    output = (*shape[:-3], channels * factor**2, height // factor, width // factor)
    return Effect(output, reach=(Window((0,), (factor - 1,), factor),) * 2)


def channel_shuffle(given: Arguments, shape: Shape) -> Effect:
    """Channels dealt out over groups."""
    groups = given.whole("groups", 1)
    if len(shape) < 3:  # noqa: PLR2004  # batch, channels and space
        raise RefusedError(f"takes channels and space, got {sample(shape)}")
    if shape[1] % groups:
        raise RefusedError(f"{shape[1]} channels do not divide by groups={groups}", "choose groups that divide")
    return Effect(shape)


def upsample(given: Arguments, shape: Shape) -> Effect:
    """Resize the space to `size`, or to floor(size * scale_factor)."""
    mode = given.word("mode", (*_PLAIN_MODES, *_RANKS))
    rank = len(shape) - 2
    if rank not in _RANKS.get(mode, (1, 2, 3)):
        raise RefusedError(f"mode='{mode}' does not resize {sample(shape)}", _mode_for(rank))
    if mode in _PLAIN_MODES and given["align_corners"] is not None:
        raise RefusedError(f"align_corners does not go with mode='{mode}'", "leave it out")
    space = shape[2:]
    sizes, scales = _target(given, space)
    output = (*shape[:2], *sizes)
    check_size("an output", output)
    if mode == "area" or given["recompute_scale_factor"]:
        scales = None
    windows = (
        _resampled(mode, size, out, scales[axis] if scales else None, aligned=bool(given["align_corners"]))
        for axis, (size, out) in enumerate(zip(space, sizes, strict=True))
    )
    return Effect(output, reach=followed(windows), sizes=_formulas(space, sizes, scales))


def sampled_floor(slope: Fraction, offset: Fraction = Fraction(0)) -> Window | None:
    """The window of a layer that reads the one position floor(slope * o + offset)."""
    window = sampled(slope, offset)
    return window and Window(window.low, window.low, window.step)


def _check_image(shape: Shape) -> None:
    if len(shape) < 3:  # noqa: PLR2004  # channels, height and width
        raise RefusedError(f"takes CxHxW, got {sample(shape)}")


def _mode_for(rank: int) -> str:
    fitting = [mode for mode, ranks in _RANKS.items() if rank in ranks]
    return f"use {', '.join((*_PLAIN_MODES, *fitting))}" if rank in {1, 2, 3} else "give CxL, CxHxW or CxDxHxW"


def _target(given: Arguments, space: Shape) -> tuple[Shape, tuple[float, ...] | None]:
    """The sizes to resize to, and the scale factors where these decide."""
    size, factor = given["size"], given["scale_factor"] or None
    if (size is None) == (factor is None):
        raise RefusedError("takes either size or scale_factor", "give one of them")
    if size is not None:
        if given["recompute_scale_factor"]:
            raise RefusedError("recompute_scale_factor does not go with size", "leave it out")
        return given.sizes("size", len(space), least=1, single=False), None
    factors: tuple[Any, ...] = factor if isinstance(factor, tuple) else (factor,) * len(space)
    if len(factors) != len(space):
        raise RefusedError(f"scale_factor={factor!r} has {len(factors)} numbers for {len(space)} axes")
    if not all(isinstance(one, int | float) and isfinite(one) for one in factors):
        raise RefusedError(f"scale_factor={factor!r} is not a number", "give a number, or a tuple of them")
    scales = tuple(float(one) for one in factors)
    return tuple(int(size * scale) for size, scale in zip(space, scales, strict=True)), scales


def _resampled(mode: str, size: int, out: int, scale: float | None, *, aligned: bool) -> Window | None:
    slope = Fraction(size, out) if scale is None else Fraction(1 / scale).limit_denominator(MAX_PERIOD)
    if mode == "area":
        return shared(size, out)
    if mode == "nearest":
        return sampled_floor(slope)
    if aligned:
        return sampled(Fraction(size - 1, max(out - 1, 1)), Fraction(0), around=int(mode == "bicubic"))
    if mode == "nearest-exact":
        return sampled_floor(slope, slope / 2)
    return sampled(slope, slope / 2 - Fraction(1, 2), around=int(mode == "bicubic"))


def _formulas(space: Shape, sizes: Shape, scales: tuple[float, ...] | None) -> tuple[str, ...]:
    if scales is None:
        return ()
    return tuple(f"floor({size} * {scale:g}) = {out}" for size, out, scale in zip(space, sizes, scales, strict=True))
