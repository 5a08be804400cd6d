"""Parse `--augment`: operations with their amounts, and presets that depend on the shape of the images."""

import math
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
        if self.name in _PLAIN:
            return self.name
        pair = _PAIRS.get(self.name)
        return f"{self.name}:{self.amount:g}" + (f"{pair.between}{self.second:g}" if pair else "")


@dataclass(frozen=True)
class _Amount:
    """The range of an operation's amount and an example; a `high` of None means the image's side minus 1 pixel."""

    low: float
    high: float | None
    example: float

    @property
    def unit(self) -> str:
        return ", in whole pixels" if self.high is None else ""


@dataclass(frozen=True)
class _Pair:
    """The ranges of an operation's two numbers, what is written between them, and an example."""

    first: tuple[float, float]
    second: tuple[float, float]
    between: str
    example: str
    is_whole: bool = False

    def allows(self, first: float, second: float) -> bool:
        """Whether both numbers are in their ranges; of an interval the first is the lower one."""
        is_inside = self.first[0] <= first <= self.first[1] and self.second[0] <= second <= self.second[1]
        if not is_inside or not self.is_whole:
            return is_inside and first <= second
        return first == int(first) and second == int(second)


_PLAIN = ("flip", "vflip", "trivial")  # without a number
_PAIRS = {
    "scale": _Pair((0.1, 10), (0.1, 10), "-", "0.8-1.2"),
    "resized-crop": _Pair((0.01, 1), (0.01, 1), "-", "0.5-1"),
    "rand": _Pair((1, 10), (0, 30), ":", "2:9", is_whole=True),
}
_AMOUNTS = {
    "shift": _Amount(1, None, 2),
    "crop": _Amount(1, None, 4),
    "rotate": _Amount(0, 180, 10),
    "perspective": _Amount(0, 0.6, 0.4),  # beyond 2/3 the corners of an image could lie inside the other three
    "color": _Amount(0, 1, 0.2),
    "blur": _Amount(0, 1, 0.5),
    "erase": _Amount(0, 1, 0.25),
    "mixup": _Amount(0.01, 100, 0.2),
    "cutmix": _Amount(0.01, 100, 1),
}
_OPERATIONS = (
    "flip", "vflip", "shift", "crop", "rotate", "scale", "resized-crop", "perspective", "color", "blur", "erase",
    "trivial", "rand", *MIXING,
)  # fmt: skip


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
    name, _, amount = text.partition(":")
    if name in PRESETS:
        raise InputError(
            "--augment",
            f"preset '{name}' cannot be combined",
            f"drop it, or list operations only: {', '.join(_OPERATIONS)}",
        )
    if name not in _OPERATIONS:
        raise unknown_choice("--augment", name, (*PRESETS, *_OPERATIONS), kind="operation")
    if name in _PLAIN:
        if amount:
            raise InputError("--augment", f"'{name}' has no amount", f"write {name}")
        return Operation(name)
    if name in _PAIRS:
        return Operation(name, *_parse_pair(text, amount, _PAIRS[name]))
    return Operation(name, _parse_amount(text, amount, _AMOUNTS[name], side))


def _parse_pair(text: str, digits: str, pair: _Pair) -> tuple[float, float]:
    name = text.partition(":")[0]
    first, _, second = digits.partition(pair.between)
    try:
        numbers = float(first), float(second)
    except ValueError:
        numbers = math.nan, math.nan
    if not pair.allows(*numbers):
        (low, high), (second_low, second_high) = pair.first, pair.second
        kind = f"two numbers from {low:g} to {high:g}, the lower first"
        if pair.is_whole:
            kind = f"whole numbers from {low:g} to {high:g} and from {second_low:g} to {second_high:g}"
        raise InputError("--augment", f"'{text}' needs {kind}", f"write {name}:{pair.example}")
    return numbers


def _parse_amount(text: str, digits: str, amount: _Amount, side: int) -> float:
    name, high = text.partition(":")[0], side - 1 if amount.high is None else amount.high
    if high < amount.low:
        raise InputError("--augment", f"'{name}' cannot move images that are one pixel wide or high", f"drop {name}")
    try:
        number = float(digits)
    except ValueError:
        number = math.nan
    if not amount.low <= number <= high or (amount.unit and number != int(number)):
        what = f"'{text}' needs a number from {amount.low:g} to {high:g}{amount.unit}"
        raise InputError("--augment", what, f"write {name}:{min(high, amount.example):g}")
    return number
