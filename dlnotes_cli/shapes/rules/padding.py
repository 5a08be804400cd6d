"""Padding layers, and the amounts that each padding mode allows."""

from collections.abc import Callable

from dlnotes_cli.shapes.layer import InvalidLayerError, LayerInfo, Shape, check_tensor_size, format_sample
from dlnotes_cli.shapes.receptive_field import AxisField
from dlnotes_cli.shapes.rules.arguments import Arguments

_IsAllowed = Callable[[int, int, int], bool]  # (size, before, after)

_LIMITS: dict[str, tuple[_IsAllowed, str]] = {  # whether an amount is allowed, and what is wrong if not
    "constant": (
        lambda size, before, after: min(before, 0) + min(after, 0) + size >= 0,
        "crops more than the input has",
    ),
    "reflect": (lambda size, before, after: max(before, after) < size, "must be smaller than that size"),
    "replicate": (lambda _size, _before, _after: True, ""),
    "circular": (
        lambda size, before, after: -size <= min(before, after) <= max(before, after) <= size,
        "must not wrap around more than once",
    ),
}


def check_padding(mode: str, size: int, before: int, after: int) -> None:
    """Raise InvalidLayerError where PyTorch rejects the padding of an axis of `size`; negative padding crops."""
    is_allowed, problem = _LIMITS[mode]
    if not is_allowed(size, before, after):
        what = f"{mode} padding of {before} and {after} on a size of {size} {problem}"
        raise InvalidLayerError(what, "use less padding")
    if size + before + after < 1:
        raise InvalidLayerError(
            f"the output is empty: {size} + {before} + {after} = {size + before + after}", "crop less"
        )


def pad(arguments: Arguments, shape: Shape, rank: int, mode: str) -> LayerInfo:
    """`ZeroPad`, `ConstantPad`, `ReflectionPad`, `ReplicationPad`, `CircularPad`: W + before + after on each axis."""
    paddings = _paddings(arguments, rank)
    axes = len(paddings)
    if mode == "constant":
        if axes > len(shape):
            raise InvalidLayerError(f"pads {axes} axes, got {format_sample(shape)}")
        if "value" in arguments:
            arguments.optional_number("value")
    elif len(shape) not in {axes + 1, axes + 2} or (mode == "circular" and len(shape) not in {rank + 1, rank + 2}):
        raise InvalidLayerError(f"pads {axes} axes of a shape with {axes + 1}, got {format_sample(shape)}")
    padded = shape[len(shape) - axes :]
    for size, (before, after) in zip(padded, paddings, strict=True):
        check_padding(mode, size, before, after)
    sizes = tuple(size + before + after for size, (before, after) in zip(padded, paddings, strict=True))
    output = (*shape[: len(shape) - axes], *sizes)
    check_tensor_size("an output", output)
    formulas = tuple(
        f"{size} + {before} + {after} = {size + before + after}"
        for size, (before, after) in zip(padded, paddings, strict=True)
    )
    field = tuple(AxisField((-before,), (-before,), 1) for before, _ in paddings)
    return LayerInfo(output, field=field, size_formulas=formulas)


def _paddings(arguments: Arguments, rank: int) -> list[tuple[int, int]]:
    """The (before, after) of each padded axis, first axis first; PyTorch's argument starts with the last axis."""
    value = arguments["padding"]
    count = len(value) if isinstance(value, tuple | list) else 2 * rank
    flat = arguments.sizes("padding", count, minimum=-(2**62), expand_single=False)
    if count % 2:
        raise InvalidLayerError(f"padding={value!r} has {count} numbers", "use one number, or a pair for each axis")
    return list(zip(flat[::2], flat[1::2], strict=True))[::-1]
