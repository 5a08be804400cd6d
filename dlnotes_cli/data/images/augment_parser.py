"""Parse `--augment`: operations with their amounts, and presets that depend on the shape of the images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dlnotes_cli.shell.errors import InputError, unknown_choice

PRESETS = ("none", "notes", "light", "standard", "strong")
MIXING = ("mixup", "cutmix")


@dataclass(frozen=True)
class Operation:
    """An augmentation with its amount, for example `rotate:10`, or two numbers: `scale:0.8-1.2`, `rand:2:9`."""

    name: str
    amount: float = 0.0
    second: float = 0.0

    @property
    def numbers(self) -> tuple[float, ...]:
        """As many as the operation has."""
        return (self.amount, self.second)[: len(_OPERATIONS[self.name].ranges)]

    def __str__(self) -> str:
        numbers = _OPERATIONS[self.name].between.join(f"{number:g}" for number in self.numbers)
        return f"{self.name}:{numbers}" if numbers else self.name


class _Numbers(NamedTuple):
    """The numbers of an operation; a range that ends with None ends at the image's side minus 1 pixel."""

    ranges: tuple[tuple[float, float | None], ...] = ()
    example: tuple[float, ...] = ()
    between: str = ""  # two numbers; "-" for an interval, whose lower end is first
    is_whole: bool = False


_OPERATIONS = {
    "flip": _Numbers(),
    "vflip": _Numbers(),
    "shift": _Numbers(((1, None),), (2,), is_whole=True),  # pixels
    "crop": _Numbers(((1, None),), (4,), is_whole=True),
    "rotate": _Numbers(((0, 180),), (10,)),
    "scale": _Numbers(((0.1, 10), (0.1, 10)), (0.8, 1.2), "-"),
    "resized-crop": _Numbers(((0.01, 1), (0.01, 1)), (0.5, 1), "-"),
    "perspective": _Numbers(((0, 0.6),), (0.4,)),  # beyond 2/3 the corners could lie inside the other three
    "color": _Numbers(((0, 1),), (0.2,)),
    "blur": _Numbers(((0, 1),), (0.5,)),
    "erase": _Numbers(((0, 1),), (0.25,)),
    "trivial": _Numbers(),
    "rand": _Numbers(((1, 10), (0, 30)), (2, 9), ":", is_whole=True),
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
    described = _OPERATIONS[name]
    ranges = [(low, side - 1 if high is None else high) for low, high in described.ranges]
    if not ranges and digits:
        raise InputError("--augment", f"'{name}' has no amount", f"write {name}")
    if any(low > high for low, high in ranges):
        raise InputError("--augment", f"'{name}' cannot move images that are one pixel wide or high", f"drop {name}")
    try:
        values = [*map(float, digits.split(described.between, 1) if described.between else [digits] * len(ranges))]
    except ValueError:
        values = []
    is_inside = len(values) == len(ranges) and all(
        low <= value <= high and (value == int(value) or not described.is_whole)
        for value, (low, high) in zip(values, ranges, strict=True)
    )
    if not is_inside or (described.between == "-" and values[0] > values[1]):
        kind = "whole number" if described.is_whole else "number"
        wanted = f"{kind}s" if len(ranges) > 1 else f"a {kind}"
        wanted += " from " + " and from ".join(f"{low:g} to {high:g}" for low, high in ranges)
        wanted += ", the lower first" if described.between == "-" else ""
        highest = [high for _, high in ranges]
        raise InputError(
            "--augment", f"'{text}' needs {wanted}", f"write {Operation(name, *map(min, described.example, highest))}"
        )
    return Operation(name, *values)
