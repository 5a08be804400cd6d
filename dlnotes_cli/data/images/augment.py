"""Augment a whole batch on its device; every random draw is a function of (seed, epoch, index) alone."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli.data.images.augment_parser import MIXING, Operation
from dlnotes_cli.data.images.draws import Draws
from dlnotes_cli.data.images.policies import rand, trivial
from dlnotes_cli.data.images.tones import blur, gray
from dlnotes_cli.data.images.warp import perspective, resized_crop, scale
from dlnotes_cli.seeding import derived_seed

_MID_GRAY = 128
_FAIR = 0.5  # probability of a coin


class Augmenter:
    """Applies the operations on single images, all but mixup and cutmix, to uint8 batches (N, C, H, W)."""

    def __init__(self, operations: tuple[Operation, ...], seed: int) -> None:
        self._operations = [operation for operation in operations if operation.name not in MIXING]
        self._seed = seed

    def __call__(self, samples: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """Augmented samples: uint8, or float32 in 0..255 after an operation that interpolates or blends.

        On a GPU they are in the channels-last memory format, which the network expects.
        """
        if self._operations and samples.device.type != "cpu":
            samples = samples.contiguous(memory_format=torch.channels_last)
        for position, operation in enumerate(self._operations):
            draws = Draws(indices, derived_seed(self._seed, epoch, position))
            if operation.name == "flip":
                samples = flip(samples, self._is_flipped(indices, epoch, position))
            elif operation.name in _APPLY:
                samples = _APPLY[operation.name](samples, operation.amount, draws)
            else:
                samples = _APPLY_PAIR[operation.name](samples, operation.amount, operation.second, draws)
        return samples

    def _is_flipped(self, indices: Tensor, epoch: int, position: int) -> Tensor:
        """Which images are flipped, bool (N,): each in every second epoch, from the first or the second on at random.

        Two epochs have each image in both directions, which random flips only have on average, and train a network to
        the same accuracy in fewer epochs (Jordan 2024, arXiv:2404.00498).
        """
        coin = Draws(indices, derived_seed(self._seed, position)).uniform() < _FAIR
        return coin ^ (epoch % 2 == 1)


def flip(samples: Tensor, mirrored: Tensor) -> Tensor:
    """Flip the images in `mirrored` (N,) left to right."""
    return _flipped(samples, 3, mirrored)


def vflip(samples: Tensor, _amount: float, draws: Draws) -> Tensor:
    """Flip each image upside down with probability 0.5."""
    return _flipped(samples, 2, draws.uniform() < _FAIR)


def _flipped(samples: Tensor, axis: int, mirrored: Tensor) -> Tensor:
    if samples.device.type != "cpu":
        return chosen_flips(samples, mirrored, axis)
    both = torch.cat([samples, samples.flip(axis)])  # copying whole images is five times as fast as indexing pixels
    return both.index_select(0, torch.arange(len(samples), device=samples.device) + len(samples) * mirrored)


def chosen_flips(samples: Tensor, mirrored: Tensor, axis: int = 3) -> Tensor:
    """Images of which those in `mirrored` (N,) are flipped, in the memory format of the samples."""
    return torch.where(mirrored.view(-1, 1, 1, 1), samples.flip(axis), samples)


def shift(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Shift each image by up to `amount` whole pixels in each direction, with black padding."""
    reach = int(amount)
    return _random_crops(F.pad(samples, (reach, reach, reach, reach)), reach, draws)


def crop(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Shift each image by up to `amount` whole pixels in each direction, with reflection padding."""
    reach = int(amount)
    if samples.device.type != "cpu":
        return _random_crops(reflected(samples, reach), reach, draws)
    return _random_crops(F.pad(samples, (reach, reach, reach, reach), mode="reflect"), reach, draws)


def reflected(samples: Tensor, reach: int) -> Tensor:
    """Images with `reach` pixels of reflection padding on each side; on GPUs, F.pad does so for floats alone."""
    for dimension in (2, 3):
        last = samples.shape[dimension] - 1
        pixels = torch.arange(-reach, last + 1 + reach, device=samples.device)
        samples = samples.index_select(dimension, last - (last - pixels.abs()).abs())
    return samples


def _random_crops(padded: Tensor, reach: int, draws: Draws) -> Tensor:
    """Crop padded images to their original size at random offsets; `reach` is the padding on each side."""
    down, right = (((2 * reach + 1) * draws.uniform()).long() for _ in range(2))
    return crops(padded, down, right, (padded.shape[2] - 2 * reach, padded.shape[3] - 2 * reach))


def crops(padded: Tensor, down: Tensor, right: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop each image (N, C, ., .) to `size` (H, W); `down` and `right` are its offsets, int64 (N,).

    On a CPU, rows are gathered whole, and images with the same column offset are cropped together: copying contiguous
    memory is several times as fast as indexing pixels.
    """
    if padded.device.type != "cpu":
        return gathered_crops(padded, down, right, size)
    channels, padded_height, padded_width = padded.shape[1:]
    order = right.argsort(stable=True)
    rows, planes = (torch.arange(n, device=padded.device) for n in (size[0], channels))
    first = (order[:, None] * channels + planes) * padded_height + down[order, None]  # (N, C)
    rows_of_images = padded.reshape(-1, padded_width).index_select(0, (first[..., None] + rows).flatten())
    starts = right.bincount(minlength=padded_width - size[1] + 1).tolist()
    groups = rows_of_images.view(-1, channels, size[0], padded_width).split(starts)
    cropped = torch.cat([group[..., start : start + size[1]] for start, group in enumerate(groups)])
    return cropped.index_select(0, order.argsort())


def gathered_crops(padded: Tensor, down: Tensor, right: Tensor, size: tuple[int, int]) -> Tensor:
    """As `crops`, by pixel, for which the host need not know the offsets; in the channels-last memory format."""
    image, rows, columns = (torch.arange(n, device=padded.device) for n in (len(padded), *size))
    rows, columns = down[:, None] + rows, right[:, None] + columns
    pixels = padded.permute(0, 2, 3, 1)[image[:, None, None], rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return pixels.permute(0, 3, 1, 2)


def rotate(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Rotate each image about its center by up to `amount` degrees in each direction, with bilinear interpolation."""
    radians = (2 * draws.uniform() - 1) * math.radians(amount)
    return rotated(samples, radians)


def rotated(samples: Tensor, radians: Tensor) -> Tensor:
    """Rotate images (N, C, H, W) counter-clockwise by angles (N,); float32 in the range of the samples."""
    height, width = samples.shape[2:]
    cos, sin = radians.cos(), radians.sin()
    zero = torch.zeros_like(cos)
    aspect = height / width
    matrix = torch.stack([cos, -sin * aspect, zero, sin / aspect, cos, zero], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, list(samples.shape), align_corners=False)
    return F.grid_sample(samples.float(), grid, align_corners=False)


def color(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Vary brightness, contrast and, in RGB, saturation by factors from 1 - `amount` to 1 + `amount`."""
    factors = [(1 + amount * (2 * draws.uniform() - 1)).view(-1, 1, 1, 1) for _ in range(3)]
    return color_adjusted(samples, *factors)


def color_adjusted(samples: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Scale brightness, then contrast about the mean gray, then saturation about each pixel's gray; float32 in 0..255.

    Factors are (N, 1, 1, 1). An image gives the same bytes in any batch: products and sums are rounded one by one, and
    the mean is computed in float64.
    """
    x = (samples * brightness).clamp_(0, 255)
    mean = gray(x).mean((1, 2, 3), keepdim=True, dtype=torch.float64).float()
    x.mul_(contrast).add_(mean * (1 - contrast)).clamp_(0, 255)
    if x.shape[1] == 1:
        return x
    grays = gray(x) * (1 - saturation)
    return x.mul_(saturation).add_(grays).clamp_(0, 255)


def erase(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Fill a rectangle with mid gray, with probability `amount` (random erasing, Zhong et al. 2017).

    The rectangle has 2 to 33 percent of the area and an aspect ratio from 0.3 to 3.3, clipped to the image.
    """
    height, width = samples.shape[2:]
    chosen = draws.uniform() < amount
    area = (0.02 + 0.31 * draws.uniform().double()) * (height * width)
    aspect = 0.3 * torch.pow(11, draws.uniform().double())
    heights, widths = (area * aspect).sqrt(), (area / aspect).sqrt()
    rows, columns = (
        _interval_mask(side, length, draws.uniform()) for side, length in ((height, heights), (width, widths))
    )
    rows = rows & chosen[:, None]
    mask = rows.to(samples.dtype)[:, None, :, None] * columns.to(samples.dtype)[:, None, None, :]
    return samples * (1 - mask) + mask * _MID_GRAY  # arithmetic is several times as fast as torch.where


def _interval_mask(side: int, length: Tensor, position: Tensor) -> Tensor:
    """Mask (N, side) of intervals of about `length` (N,) pixels, from position 0 (first) to 1 (last)."""
    pixels = length.round().clamp(1, side)
    start = (position * (side - pixels + 1)).floor()
    pixel = torch.arange(side, device=length.device)
    return (pixel >= start[:, None]) & (pixel < (start + pixels)[:, None])


_APPLY: dict[str, Callable[[Tensor, float, Draws], Tensor]] = {
    "vflip": vflip, "shift": shift, "crop": crop, "rotate": rotate, "perspective": perspective,
    "color": color, "blur": blur, "erase": erase, "trivial": trivial,
}  # fmt: skip
_APPLY_PAIR: dict[str, Callable[[Tensor, float, float, Draws], Tensor]] = {  # of those with two numbers
    "scale": scale, "resized-crop": resized_crop, "rand": rand,
}  # fmt: skip
