"""Augmentation of a whole batch on its device; each draw is a function of (seed, epoch, index) and of nothing else."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli.data.images.augment_words import Operation
from dlnotes_cli.seeding import derived_seed

_MIX = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)  # splitmix64's two multipliers as signed numbers
_MID_GRAY = 128


class Augmenter:
    """Applies those operations that change each image alone to uint8 batches (N, C, H, W)."""

    def __init__(self, operations: tuple[Operation, ...], seed: int) -> None:
        self._operations = [operation for operation in operations if operation.name in _APPLY]
        self._seed = seed

    def __call__(self, samples: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """Augmented samples, uint8, or float32 in 0..255 where pixels had to be interpolated or blended."""
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
    """Mirror every second image left to right."""
    mirrored = draws.uniform() < 0.5  # noqa: PLR2004  # a fair coin
    both = torch.cat([samples, samples.flip(3)])  # whole images are copied five times as fast as chosen pixels
    return both.index_select(0, torch.arange(len(samples), device=samples.device) + len(samples) * mirrored)


def shift(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Move each image by up to `amount` whole pixels each way; what comes in is black."""
    reach = int(amount)
    return _random_windows(F.pad(samples, (reach, reach, reach, reach)), reach, draws)


def crop(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Move each image by up to `amount` whole pixels each way; what comes in is its own reflection."""
    reach = int(amount)
    return _random_windows(F.pad(samples, (reach, reach, reach, reach), mode="reflect"), reach, draws)


def _random_windows(framed: Tensor, reach: int, draws: Draws) -> Tensor:
    """From images with `reach` pixels added on each side, windows of the old size at places of their own."""
    down, right = (((2 * reach + 1) * draws.uniform()).long() for _ in range(2))
    return windows(framed, down, right, (framed.shape[2] - 2 * reach, framed.shape[3] - 2 * reach))


def windows(framed: Tensor, down: Tensor, right: Tensor, size: tuple[int, int]) -> Tensor:
    """The part of `size` (H, W) of each image (N, C, ., .) that starts at its own row and column, int64 (N,).

    Rows are gathered whole, and images that start at the same column are cut together: only whole stretches of
    memory are copied, several times as fast as an index for each pixel.
    """
    channels, tall, wide = framed.shape[1:]
    order = right.argsort(stable=True)
    rows, planes = (torch.arange(n, device=framed.device) for n in (size[0], channels))
    first = (order[:, None] * channels + planes) * tall + down[order, None]  # (N, C)
    stretched = framed.reshape(-1, wide).index_select(0, (first[..., None] + rows).flatten())
    starts = right.bincount(minlength=wide - size[1] + 1).tolist()
    parts = stretched.view(-1, channels, size[0], wide).split(starts)
    cut = torch.cat([part[..., start : start + size[1]] for start, part in enumerate(parts)])
    return cut.index_select(0, order.argsort())


def rotate(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Turn each image about its center by up to `amount` degrees each way, with bilinear interpolation."""
    radians = (2 * draws.uniform() - 1) * math.radians(amount)
    return rotated(samples, radians)


def rotated(samples: Tensor, radians: Tensor) -> Tensor:
    """Turn each image (N, C, H, W) counter-clockwise by its own angle; float32 in the samples' range."""
    height, width = samples.shape[2:]
    cos, sin = radians.cos(), radians.sin()
    nil = torch.zeros_like(cos)
    stretch = height / width
    matrix = torch.stack([cos, -sin * stretch, nil, sin / stretch, cos, nil], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, list(samples.shape), align_corners=False)
    return F.grid_sample(samples.float(), grid, align_corners=False)


def color(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Vary brightness, contrast and, where there are colors, saturation, each by a factor within 1 - X and 1 + X."""
    factors = [(1 + amount * (2 * draws.uniform() - 1)).view(-1, 1, 1, 1) for _ in range(3)]
    return colored(samples, *factors)


def colored(samples: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Images times brightness, then moved away from their mean gray, then from their own gray; float32 in 0..255.

    Factors are (N, 1, 1, 1). The same image gives the same bytes in any batch: products and sums are rounded one by
    one, and the mean is taken in float64.
    """
    x = (samples * brightness).clamp_(0, 255)
    mean = gray(x).mean((1, 2, 3), keepdim=True, dtype=torch.float64).float()
    x.mul_(contrast).add_(mean * (1 - contrast)).clamp_(0, 255)
    if x.shape[1] == 1:
        return x
    grays = gray(x) * (1 - saturation)
    return x.mul_(saturation).add_(grays).clamp_(0, 255)


def gray(samples: Tensor) -> Tensor:
    """Luma (N, 1, H, W) of float images with one or three channels, by the weights of ITU-R BT.601."""
    if samples.shape[1] == 1:
        return samples
    red, green, blue = samples.split(1, dim=1)
    luma: Tensor = (red * 0.2989).add_(green * 0.587).add_(blue * 0.114)
    return luma


def erase(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Fill a rectangle of a share `amount` of the images with mid gray (Zhong et al. 2017, random erasing).

    It has 2 to 33 percent of the area and an aspect from 0.3 to 3.3, as far as it fits into the image.
    """
    height, width = samples.shape[2:]
    chosen = draws.uniform() < amount
    area = (0.02 + 0.31 * draws.uniform().double()) * (height * width)
    aspect = 0.3 * torch.pow(11, draws.uniform().double())
    tall, wide = (area * aspect).sqrt(), (area / aspect).sqrt()
    rows, columns = (_stretch(side, length, draws.uniform()) for side, length in ((height, tall), (width, wide)))
    rows = rows & chosen[:, None]
    mask = rows.to(samples.dtype)[:, None, :, None] * columns.to(samples.dtype)[:, None, None, :]
    return samples * (1 - mask) + mask * _MID_GRAY  # arithmetic is several times as fast as a choice for each pixel


def _stretch(side: int, length: Tensor, place: Tensor) -> Tensor:
    """Which of `side` pixels lie in a stretch of about `length` (N,), at a `place` from 0 to 1; bool (N, side)."""
    pixels = length.round().clamp(1, side)
    start = (place * (side - pixels + 1)).floor()
    at = torch.arange(side, device=length.device)
    return (at >= start[:, None]) & (at < (start + pixels)[:, None])


_APPLY: dict[str, Callable[[Tensor, float, Draws], Tensor]] = {
    "flip": flip, "shift": shift, "crop": crop, "rotate": rotate, "color": color, "erase": erase,
}  # fmt: skip
