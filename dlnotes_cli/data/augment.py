"""Augmentation of a whole batch on its device; each draw is a function of (seed, epoch, index) and of nothing else."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli.errors import InputError, unknown_choice
from dlnotes_cli.seeding import derived_seed

PRESETS = ("none", "notes", "standard", "strong")
_WORDS = ("flip", "shift", "rotate")
_MIX = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)  # splitmix64's two multipliers as signed numbers


@dataclass(frozen=True)
class Operation:
    """One word of `--augment`, `rotate:10` for example."""

    name: str
    amount: float = 0.0


def parse_augment(words: str, shape: tuple[int, ...], *, flippable: bool) -> tuple[Operation, ...]:
    """The operations that `--augment` asks for, for pictures of `shape` (C, H, W).

    `standard` shifts by a 28th of the side and flips; `strong` also rotates by 10 degrees and shifts further;
    `notes` is the course's flip and rotation by 10 degrees. The presets flip only where a mirror image keeps its class.
    """
    if len(shape) != 3:  # noqa: PLR2004  # a table
        if words in {"none", "standard"}:
            return ()
        raise InputError("--augment", f"'{words}' is for pictures", "use none with a table")
    side = min(shape[1:])
    parts = [part.strip() for part in words.split(",") if part.strip()]
    if len(parts) == 1 and parts[0] in PRESETS:
        return _preset(parts[0], side, flippable=flippable)
    return tuple(_operation(part, side) for part in parts)


class Augmenter:
    """Applies operations to uint8 batches (N, C, H, W); what moves in from outside is black."""

    def __init__(self, operations: tuple[Operation, ...], seed: int) -> None:
        self._operations, self._seed = operations, seed

    def __call__(self, samples: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """Augmented samples, uint8, or float32 in 0..255 where pixels had to be interpolated."""
        for position, operation in enumerate(self._operations):
            draws = Draws(indices, derived_seed(self._seed, epoch, position))
            samples = _APPLY[operation.name](samples, operation.amount, draws)
        return samples


class Draws:
    """Uniform numbers for each sample of a batch, by counter: the same index draws the same in any batch."""

    def __init__(self, indices: Tensor, seed: int) -> None:
        self._indices, self._seed, self._count = indices, seed, 0

    def uniform(self) -> Tensor:
        """The next number of each sample, float32 in [0, 1), shape (N,): splitmix64's output function."""
        self._count += 1
        z = self._indices * -0x61C8864680B583EB + (derived_seed(self._seed, self._count))
        z = (z ^ _shifted(z, 30)) * _MIX[0]
        z = (z ^ _shifted(z, 27)) * _MIX[1]
        return _shifted(z ^ _shifted(z, 31), 40).float() * 2.0**-24


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Shift right without the sign: torch has no unsigned 64-bit arithmetic."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def flip(samples: Tensor, _amount: float, draws: Draws) -> Tensor:
    """Mirror every second picture left to right."""
    mirrored = (draws.uniform() < 0.5).view(-1, 1, 1, 1)  # noqa: PLR2004  # a fair coin
    return torch.where(mirrored, samples.flip(3), samples)


def shift(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Move each picture by up to `amount` whole pixels each way."""
    reach = int(amount)
    height, width = samples.shape[2:]
    down, right = (((2 * reach + 1) * draws.uniform()).long() for _ in range(2))
    framed = F.pad(samples, (reach, reach, reach, reach))
    rows = down[:, None] + torch.arange(height, device=samples.device)  # (N, H)
    columns = right[:, None] + torch.arange(width, device=samples.device)  # (N, W)
    pictures = torch.arange(len(samples), device=samples.device)[:, None, None]
    moved = framed.transpose(0, 1)[:, pictures, rows[:, :, None], columns[:, None, :]]  # (C, N, H, W)
    return moved.transpose(0, 1)


def rotate(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Turn each picture about its centre by up to `amount` degrees each way, with bilinear interpolation."""
    radians = (2 * draws.uniform() - 1) * math.radians(amount)
    return rotated(samples, radians)


def rotated(samples: Tensor, radians: Tensor) -> Tensor:
    """Turn each picture (N, C, H, W) counter-clockwise by its own angle; float32 in the samples' range."""
    height, width = samples.shape[2:]
    cos, sin = radians.cos(), radians.sin()
    nil = torch.zeros_like(cos)
    stretch = height / width
    matrix = torch.stack([cos, -sin * stretch, nil, sin / stretch, cos, nil], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, list(samples.shape), align_corners=False)
    return F.grid_sample(samples.float(), grid, align_corners=False)


_APPLY: dict[str, Callable[[Tensor, float, Draws], Tensor]] = {"flip": flip, "shift": shift, "rotate": rotate}


def _preset(name: str, side: int, *, flippable: bool) -> tuple[Operation, ...]:
    if name == "none":
        return ()
    mirror = (Operation("flip"),) if flippable else ()
    if name == "notes":
        return (*mirror, Operation("rotate", 10))
    reach = max(1, round(side / 28))
    if name == "standard":
        return (*mirror, Operation("shift", reach))
    return (*mirror, Operation("rotate", 10), Operation("shift", 2 * reach))


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
    unit, low, high = (", in whole pixels", 1, max(1, side - 1)) if name == "shift" else ("", 0, 180)
    try:
        number = float(amount)
    except ValueError:
        number = math.nan
    if not low <= number <= high or (name == "shift" and number != int(number)):
        what = f"'{word}' needs a number from {low} to {high}{unit}"
        raise InputError("--augment", what, f"write {name}:{min(high, 2)}")
    return Operation(name, number)
