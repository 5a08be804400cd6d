"""The words of `--augment`: single operations with their amounts, and presets that depend on the images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dlnotes_cli.shell.errors import InputError, unknown_choice

PRESETS = ("none", "notes", "standard", "strong")
MIXING = ("mixup", "cutmix")


@dataclass(frozen=True)
class Operation:
    """One word of `--augment`, `rotate:10` for example."""

    name: str
    amount: float = 0.0

    def __str__(self) -> str:
        return f"{self.name}:{self.amount:g}" if self.name != "flip" else self.name


@dataclass(frozen=True)
class _Amount:
    """The numbers that a word takes, and one to suggest; a `high` of None is the image's side less one pixel."""

    low: float
    high: float | None
    example: float

    @property
    def unit(self) -> str:
        return ", in whole pixels" if self.high is None else ""


_AMOUNTS = {
    "shift": _Amount(1, None, 2),
    "crop": _Amount(1, None, 4),
    "rotate": _Amount(0, 180, 10),
    "color": _Amount(0, 1, 0.2),
    "erase": _Amount(0, 1, 0.25),
    "mixup": _Amount(0.01, 100, 0.2),
    "cutmix": _Amount(0.01, 100, 1),
}
_WORDS = ("flip", *_AMOUNTS)


def parse_augment(words: str, shape: tuple[int, ...], *, flippable: bool) -> tuple[Operation, ...]:
    """The operations that `--augment` asks for, for images of `shape` (C, H, W).

    Gray images: `standard` flips and shifts by a 28th of the side; `strong` also rotates by 10 degrees and shifts
    further. Color images: `standard` flips and crops by an eighth of the side; `strong` also varies colors and
    erases rectangles. `notes` is the course's flip and rotation by 10 degrees. The presets flip only where
    `flippable`, see `is_flippable`. Raises InputError for anything else.
    """
    if len(shape) != 3:  # noqa: PLR2004  # a table
        if words in {"none", "standard"}:
            return ()
        raise InputError("--augment", f"'{words}' is for images", "use none with a table")
    parts = [part.strip() for part in words.split(",") if part.strip()]
    if len(parts) == 1 and parts[0] in PRESETS:
        return _preset(parts[0], shape, flippable=flippable)
    operations = tuple(_operation(part, min(shape[1:])) for part in parts)
    mixing = [operation.name for operation in operations if operation.name in MIXING]
    if len(mixing) > 1:
        raise InputError("--augment", f"'{mixing[0]}' and '{mixing[1]}' both mix the batch", "keep one of them")
    return operations


def is_flippable(classes: Sequence[str]) -> bool:
    """Whether a mirror image keeps its class: a mirrored digit is no digit."""
    return not all(name.isdigit() for name in classes)


def _preset(name: str, shape: tuple[int, ...], *, flippable: bool) -> tuple[Operation, ...]:
    if name == "none":
        return ()
    mirror = (Operation("flip"),) if flippable else ()
    if name == "notes":
        return (*mirror, Operation("rotate", 10))
    channels, side = shape[0], min(shape[1:])
    if channels == 1:
        reach = max(1, round(side / 28))
        if name == "standard":
            return (*mirror, Operation("shift", reach))
        return (*mirror, Operation("rotate", 10), Operation("shift", 2 * reach))
    reach = round(side / 8)
    moved = (*mirror, Operation("crop", reach)) if reach else mirror
    return moved if name == "standard" else (*moved, Operation("color", 0.2), Operation("erase", 0.25))


def _operation(word: str, side: int) -> Operation:
    name, _, amount = word.partition(":")
    if name in PRESETS:
        raise InputError(
            "--augment", f"'{name}' stands alone", f"drop it, or the other words; words are {', '.join(_WORDS)}"
        )
    if name not in _WORDS:
        raise unknown_choice("--augment", name, (*PRESETS, *_WORDS), kind="word")
    if name == "flip":
        if amount:
            raise InputError("--augment", f"'{name}' takes no number", f"write {name}")
        return Operation(name)
    return Operation(name, _number(word, amount, _AMOUNTS[name], side))


def _number(word: str, text: str, amount: _Amount, side: int) -> float:
    name, high = word.partition(":")[0], side - 1 if amount.high is None else amount.high
    if high < amount.low:
        raise InputError("--augment", f"'{name}' has nowhere to move images of one pixel", f"drop {name}")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not amount.low <= number <= high or (amount.unit and number != int(number)):
        what = f"'{word}' needs a number from {amount.low:g} to {high:g}{amount.unit}"
        raise InputError("--augment", what, f"write {name}:{min(high, amount.example):g}")
    return number
