"""Changes of images for `evaluate --shift-test`, by growing amounts: their names and values, and their pixels.

Outside of the image is black, as with the augmentation of the same names.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.shell.errors import InputError, unknown_choice

WHERE = "--shift-test"
_MOST_SHIFTS, _MOST_AMOUNTS, _FEWER_AMOUNTS = 8, 9, 6
_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # right, left, down, up
_CHUNK_VALUES = 1 << 22  # of the pixels that are changed at once
_BLUR_REACH = 3  # standard deviations
_WHITE = 255


@dataclass(frozen=True)
class _Kind:
    """A kind of change: the range of its amounts, their unit and an example."""

    unit: str
    low: float
    high: float
    example: str
    neutral: float = 0.0  # the amount that changes nothing


_KINDS = {
    "shift": _Kind("pixels", 1, 4096, "4"),
    "rotate": _Kind("degrees", 1, 180, "20"),
    "scale": _Kind("factor", 0.1, 10, "0.8-1.2", neutral=1.0),
    "noise": _Kind("standard deviation, white is 1", 0.001, 1, "0.2"),
    "blur": _Kind("standard deviation in pixels", 0.05, 20, "2"),
}


@dataclass(frozen=True)
class ShiftKind:
    """A kind of change with the amounts that are tested, in ascending order."""

    name: str
    amounts: tuple[float, ...]

    @property
    def unit(self) -> str:
        """The unit of the amounts."""
        return _KINDS[self.name].unit

    def is_neutral(self, amount: float) -> bool:
        """Whether an amount changes nothing."""
        return amount == _KINDS[self.name].neutral

    def variants(self, images: NDArray[np.uint8], amount: float, seed: int) -> Iterator[NDArray[np.uint8]]:
        """Images (N, C, H, W) changed by an amount: for a shift once in each of four directions, otherwise once."""
        if self.name == "shift":
            yield from (_moved(images, rows * int(amount), columns * int(amount)) for rows, columns in _DIRECTIONS)
        else:
            yield _changed(images, self.name, amount, seed)


def parse_shifts(text: str) -> tuple[ShiftKind, ...]:
    """The kinds of change in a value of `--shift-test`. Raises InputError."""
    kinds = tuple(_parse(item.strip()) for item in text.split(",") if item.strip())
    names = [kind.name for kind in kinds]
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated or not kinds:
        what = f"'{repeated}' is listed twice" if repeated else "names no change"
        raise InputError(WHERE, what, "write shift:4,rotate:20,scale:0.8-1.2")
    return kinds


def check_reach(kinds: tuple[ShiftKind, ...], shape: tuple[int, ...]) -> None:
    """Raise InputError for a shift that moves images of `shape` (C, H, W) out of sight."""
    reach = max((kind.amounts[-1] for kind in kinds if kind.name == "shift"), default=0)
    if reach >= min(shape[1:]):
        size = "x".join(map(str, shape[1:]))
        raise InputError(WHERE, f"'shift:{reach:g}' moves images of {size} out of sight", "use a smaller shift")


def _parse(text: str) -> ShiftKind:
    name, _, digits = text.partition(":")
    if name not in _KINDS:
        raise unknown_choice(WHERE, name, _KINDS, kind="change")
    kind = _KINDS[name]
    parts = digits.split("-") if name == "scale" else [digits]
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = [math.nan]
    is_valid = all(kind.low <= number <= kind.high for number in numbers)
    is_valid = is_valid and (name != "shift" or numbers[0] == int(numbers[0]))
    if not is_valid or (name == "scale" and (len(numbers) != 2 or numbers[0] >= numbers[1])):  # noqa: PLR2004
        what = (
            "two numbers, the lower first," if name == "scale" else "a whole number" if name == "shift" else "a number"
        )
        raise InputError(
            WHERE, f"'{text}' needs {what} from {kind.low:g} to {kind.high:g}", f"write {name}:{kind.example}"
        )
    return ShiftKind(name, _amounts(name, numbers))


def _amounts(name: str, numbers: list[float]) -> tuple[float, ...]:
    """The amounts to test, with the one that changes nothing if it lies between the others."""
    if name == "shift":
        count = min(int(numbers[0]), _MOST_SHIFTS)
        return tuple(float(round(numbers[0] * i / count)) for i in range(count + 1))
    if name == "scale":
        low, high = numbers
        steps = {round(float(x), 6) for x in np.linspace(low, high, _MOST_AMOUNTS)}
        return tuple(sorted(steps | ({1.0} if low < 1 < high else set())))
    if name == "rotate":
        return tuple(round(float(x), 6) for x in np.linspace(-numbers[0], numbers[0], _MOST_AMOUNTS))
    return tuple(round(float(x), 6) for x in np.linspace(0, numbers[0], _FEWER_AMOUNTS))


def _moved(images: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
    """Images moved by whole pixels."""
    height, width = images.shape[2:]
    moved = np.zeros_like(images)
    rows, columns = (slice(max(0, d), side + min(0, d)) for d, side in ((down, height), (right, width)))
    from_rows, from_columns = (slice(max(0, -d), side + min(0, -d)) for d, side in ((down, height), (right, width)))
    moved[:, :, rows, columns] = images[:, :, from_rows, from_columns]
    return moved


def _changed(images: NDArray[np.uint8], name: str, amount: float, seed: int) -> NDArray[np.uint8]:
    """Images rotated counter-clockwise, scaled, blurred or with noise; the noise is the same for every amount."""
    import torch

    from dlnotes_cli.data.images.transforms import blurred, rotated, scaled

    changed = np.empty_like(images)
    step = max(1, _CHUNK_VALUES // max(1, images[0].size))
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, len(images), step):
        x = torch.from_numpy(np.ascontiguousarray(images[start : start + step]))
        amounts = torch.full((len(x),), amount)
        if name == "rotate":
            x = rotated(x, amounts.deg2rad())
        elif name == "scale":
            x = scaled(x, amounts)
        elif name == "blur":
            x = blurred(x, amounts.clamp(min=0.01), radius=max(1, math.ceil(_BLUR_REACH * amount)))
        else:
            x = x + _WHITE * amount * torch.randn(x.shape, generator=generator)
        changed[start : start + step] = x.round().clamp(0, 255).to(torch.uint8).numpy()
    return changed
