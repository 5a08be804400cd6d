"""Padding layers, and what each way of padding allows."""

from collections.abc import Callable

from dlnotes_cli.shapes.layer import Effect, RefusedError, Shape, check_size, sample
from dlnotes_cli.shapes.rules.arguments import Arguments
from dlnotes_cli.shapes.rules.windows import Window

_Allowed = Callable[[int, int, int], bool]  # (size, before, after)

_ALLOWED: dict[str, tuple[_Allowed, str]] = {
    "constant": (
        lambda size, before, after: min(before, 0) + min(after, 0) + size >= 0,
        "cuts away more than there is",
    ),
    "reflect": (lambda size, before, after: max(before, after) < size, "must be smaller than the size it mirrors"),
    "replicate": (lambda _size, _before, _after: True, ""),
    "circular": (
        lambda size, before, after: -size <= min(before, after) <= max(before, after) <= size,
        "must not wrap around more than once",
    ),
}


def check_pad(mode: str, size: int, before: int, after: int) -> None:
    """Refuse padding that PyTorch refuses for an axis of `size`; negative padding cuts."""
    is_allowed, rule = _ALLOWED[mode]
    if not is_allowed(size, before, after):
        raise RefusedError(f"{mode} padding of {before} and {after} on a size of {size} {rule}", "use less padding")
    if size + before + after < 1:
        raise RefusedError(f"nothing is left: {size} + {before} + {after} = {size + before + after}", "cut less")


def pad(given: Arguments, shape: Shape, rank: int, mode: str) -> Effect:
    """Pad the last axes by (left, right, top, bottom, front, back)."""
    pads = _pads(given, rank)
    axes = len(pads)
    if mode == "constant":
        if axes > len(shape):
            raise RefusedError(f"pads {axes} axes, got {sample(shape)}")
        if "value" in given:
            given.optional_number("value")
    elif len(shape) not in {axes + 1, axes + 2} or (mode == "circular" and len(shape) not in {rank + 1, rank + 2}):
        raise RefusedError(f"pads {axes} axes of a shape with {axes + 1}, got {sample(shape)}")
    space = shape[len(shape) - axes :]
    for size, (before, after) in zip(space, pads, strict=True):
        check_pad(mode, size, before, after)
    sizes = tuple(size + before + after for size, (before, after) in zip(space, pads, strict=True))
    output = (*shape[: len(shape) - axes], *sizes)
    check_size("an output", output)
    formulas = tuple(
        f"{size} + {before} + {after} = {size + before + after}"
        for size, (before, after) in zip(space, pads, strict=True)
    )
    return Effect(output, reach=tuple(Window((-before,), (-before,), 1) for before, _ in pads), sizes=formulas)


def _pads(given: Arguments, rank: int) -> list[tuple[int, int]]:
    """The (before, after) of each padded axis, first axis first; PyTorch lists the last axis first."""
    value = given["padding"]
    count = len(value) if isinstance(value, tuple | list) else 2 * rank
    flat = given.sizes("padding", count, least=-(2**62), single=False)
    if count % 2:
        raise RefusedError(f"padding={value!r} has {count} numbers", "give one number, or a pair for each axis")
    return list(zip(flat[::2], flat[1::2], strict=True))[::-1]
