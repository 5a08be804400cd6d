"""Parse `--augment`: operations with their amounts, and presets that depend on the shape of the images."""

from collections.abc import Sequence
from dataclasses import dataclass

from dlnotes_cli.shell.errors import InputError, unknown_choice

PRESETS = ("none", "notes", "light", "standard", "strong")
MIXING = ("mixup", "cutmix")


@dataclass(frozen=True)
class Operation:
    """An augmentation with its amount, for example `rotate:10`, or two numbers: `scale:0.8-1.2`, `rand:2:9`."""

    name: str
    amount: float = 0.0
    second: float = 0.0

    def __str__(self) -> str:
        described = _OPERATIONS[self.name]
        numbers = (self.amount, self.second)[: len(described.ranges)]
        return f"{self.name}:{described.between.join(f'{number:g}' for number in numbers)}" if numbers else self.name


@dataclass(frozen=True)
class _Numbers:
    """The numbers of an operation: the range of each, what is between two, an example, and what an error asks for.

    A range that ends with None ends at the image's side minus 1 pixel.
    """

    ranges: tuple[tuple[float, float | None], ...]
    example: tuple[float, ...]
    wanted: str = "a number from {0}"
    between: str = ""
    is_whole: bool = False


_PIXELS, _INTERVAL = "a number from {0}, in whole pixels", "two numbers from {0}, the lower first"
_OPERATIONS = {
    "flip": _Numbers((), ()),
    "vflip": _Numbers((), ()),
    "shift": _Numbers(((1, None),), (2,), _PIXELS, is_whole=True),
    "crop": _Numbers(((1, None),), (4,), _PIXELS, is_whole=True),
    "rotate": _Numbers(((0, 180),), (10,)),
    "scale": _Numbers(((0.1, 10), (0.1, 10)), (0.8, 1.2), _INTERVAL, "-"),
    "resized-crop": _Numbers(((0.01, 1), (0.01, 1)), (0.5, 1), _INTERVAL, "-"),
    "perspective": _Numbers(((0, 0.6),), (0.4,)),  # beyond 2/3 the corners could lie inside the other three
    "color": _Numbers(((0, 1),), (0.2,)),
    "blur": _Numbers(((0, 1),), (0.5,)),
    "erase": _Numbers(((0, 1),), (0.25,)),
    "trivial": _Numbers((), ()),
    "rand": _Numbers(((1, 10), (0, 30)), (2, 9), "whole numbers from {0} and from {1}", ":", is_whole=True),
    "mixup": _Numbers(((0.01, 100),), (0.2,)),
    "cutmix": _Numbers(((0.01, 100),), (1,)),
}


def parse_augment(text: str, shape: tuple[int, ...], *, flippable: bool) -> tuple[Operation, ...]:
    """The operations of an `--augment` value for images of `shape` (C, H, W).

    Gray images: `light` and `standard` flip and shift by 1/28 of the side; `strong` also rotates by 10 degrees and
    doubles the shift. Color images: `light` flips and crops by 1/16 of the side, `standard` by 1/8; `strong` also
    varies colors and erases rectangles. `notes` is the course's flip and rotation by 10 degrees. Presets flip only if
    `flippable`, see `is_flippable`. Raises InputError for any other value.
    """
    if len(shape) != 3:  # noqa: PLR2004  # a table
        if text in {"none", "standard"}:
            return ()
        raise InputError("--augment", f"'{text}' is for images", "use none with a table")
    values = [value.strip() for value in text.split(",") if value.strip()]
    if len(values) == 1 and values[0] in PRESETS:
        return _preset(values[0], shape, flippable=flippable)
    operations = tuple(_operation(value, min(shape[1:])) for value in values)
    mixing = [operation.name for operation in operations if operation.name in MIXING]
    if len(mixing) > 1:
        raise InputError("--augment", f"'{mixing[0]}' and '{mixing[1]}' both mix the batch", "keep one of them")
    return operations


def is_flippable(classes: Sequence[str]) -> bool:
    """Whether a flipped image keeps its class; a flipped digit does not."""
    return not all(name.isdigit() for name in classes)


def _preset(name: str, shape: tuple[int, ...], *, flippable: bool) -> tuple[Operation, ...]:
    if name == "none":
        return ()
    flips = (Operation("flip"),) if flippable else ()
    if name == "notes":
        return (*flips, Operation("rotate", 10))
    channels, side = shape[0], min(shape[1:])
    if channels == 1:
        reach = max(1, round(side / 28))
        if name != "strong":
            return (*flips, Operation("shift", reach))
        return (*flips, Operation("rotate", 10), Operation("shift", 2 * reach))
    reach = round(side / (16 if name == "light" else 8))
    cropped = (*flips, Operation("crop", reach)) if reach else flips
    return cropped if name != "strong" else (*cropped, Operation("color", 0.2), Operation("erase", 0.25))


def _operation(text: str, side: int) -> Operation:
    name, _, digits = text.partition(":")
    if name in PRESETS:
        fix = f"drop it, or list operations only: {', '.join(_OPERATIONS)}"
        raise InputError("--augment", f"preset '{name}' cannot be combined", fix)
    if name not in _OPERATIONS:
        raise unknown_choice("--augment", name, (*PRESETS, *_OPERATIONS), kind="operation")
    numbers = _OPERATIONS[name]
    ranges = [(low, side - 1 if high is None else high) for low, high in numbers.ranges]
    if not ranges and digits:
        raise InputError("--augment", f"'{name}' has no amount", f"write {name}")
    if any(low > high for low, high in ranges):
        raise InputError("--augment", f"'{name}' cannot move images that are one pixel wide or high", f"drop {name}")
    values = _values(digits, numbers)
    is_inside = len(values) == len(ranges) and all(
        low <= value <= high and (value == int(value) or not numbers.is_whole)
        for value, (low, high) in zip(values, ranges, strict=True)
    )
    if not is_inside or (numbers.wanted == _INTERVAL and values[0] > values[1]):
        wanted = numbers.wanted.format(*(f"{low:g} to {high:g}" for low, high in ranges))
        example = Operation(name, *(min(value, high) for value, (_, high) in zip(numbers.example, ranges, strict=True)))
        raise InputError("--augment", f"'{text}' needs {wanted}", f"write {example}")
    return Operation(name, *values)


def _values(digits: str, numbers: _Numbers) -> list[float]:
    """The numbers in a text; empty if a part of it is not a number."""
    parts = digits.split(numbers.between, 1) if numbers.between else [digits] * len(numbers.ranges)
    try:
        return [float(part) for part in parts]
    except ValueError:
        return []
