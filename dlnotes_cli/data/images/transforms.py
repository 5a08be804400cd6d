"""Operations on a batch of images, each image with its own parameters.

Every draw is a function of seed, epoch and index alone. Positions are continuous: pixel i of a row extends from i to
i + 1. On a GPU no function waits for the device.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli.seeding import derived_seed

_SPLITMIX = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)  # the two multipliers of splitmix64 as signed integers
_FAIR = 0.5  # probability of a coin
_MID_GRAY = 128
_SIGMAS = (0.1, 2.0)  # pixels, as in torchvision
_RADIUS = 4  # pixels: two standard deviations
_UNCHANGED = 0.01  # a standard deviation, in pixels, whose neighbors have the weight 0 in float32
_ASPECTS = (math.log(3 / 4), math.log(4 / 3))  # of the boxes of a random resized crop, as in torchvision
Corners = tuple[tuple[Tensor, Tensor], ...]  # x and y (N,) of the upper left, upper right, lower right and lower left


class Draws:
    """Counter-based uniform draws for each sample of a batch; an index has the same draws in any batch."""

    def __init__(self, indices: Tensor, seed: int) -> None:
        self._indices, self._seed, self._count = indices, seed, 0

    def uniform(self) -> Tensor:
        """The next draw of each sample, float32 (N,) in [0, 1), by the output function of splitmix64."""
        self._count += 1
        z = self._indices * -0x61C8864680B583EB + (derived_seed(self._seed, self._count))
        z = (z ^ _shifted(z, 30)) * _SPLITMIX[0]
        z = (z ^ _shifted(z, 27)) * _SPLITMIX[1]
        return _shifted(z ^ _shifted(z, 31), 40).float() * 2.0**-24

    def within(self, low: float, high: float) -> Tensor:
        """The next draw of each sample, float32 (N,) from `low` to `high`."""
        return low + (high - low) * self.uniform()


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Logical right shift: torch has no unsigned 64-bit arithmetic."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


# --- flips and crops -------------------------------------------------------------------------------------------------


def flip(samples: Tensor, mirrored: Tensor, axis: int = 3) -> Tensor:
    """Flip the images in `mirrored` (N,) left to right, or along another axis; they keep their memory format."""
    return torch.where(mirrored.view(-1, 1, 1, 1), samples.flip(axis), samples)


def vflip(samples: Tensor, draws: Draws) -> Tensor:
    """Flip each image upside down with probability 0.5."""
    return flip(samples, draws.uniform() < _FAIR, axis=2)


def shift(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Shift each image by up to `amount` whole pixels in each direction, with black padding."""
    reach = int(amount)
    return _random_crops(F.pad(samples, (reach, reach, reach, reach)), reach, draws)


def crop(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Shift each image by up to `amount` whole pixels in each direction, with reflection padding."""
    return _random_crops(reflected(samples, int(amount)), int(amount), draws)


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
    """Crop each image (N, C, ., .) to `size` (H, W) at offsets (N,); in the channels-last memory format."""
    image, rows, columns = (torch.arange(n, device=padded.device) for n in (len(padded), *size))
    rows, columns = down[:, None] + rows, right[:, None] + columns
    pixels = padded.permute(0, 2, 3, 1)[image[:, None, None], rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return pixels.permute(0, 3, 1, 2)


# --- with bilinear interpolation -------------------------------------------------------------------------------------


def affine(samples: Tensor, x_row: tuple[Tensor, ...], y_row: tuple[Tensor, ...], padding: str = "zeros") -> Tensor:
    """Images (N, C, H, W) whose pixel at (x, y) from the center comes from a x + b y + c, and likewise in y; float32.

    A row is (a, b, c), each (N,), in pixels. Outside of the image is black, or with "border" its outermost pixel.
    """
    height, width = samples.shape[2:]
    (a, b, c), (d, e, f) = x_row, y_row
    rows = [a, b * (height / width), c * (2 / width), d * (width / height), e, f * (2 / height)]
    grid = F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(samples.shape), align_corners=False)
    return F.grid_sample(samples.float(), grid, padding_mode=padding, align_corners=False)


def rotate(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Rotate each image about its center by up to `amount` degrees in each direction, with bilinear interpolation."""
    return rotated(samples, (2 * draws.uniform() - 1) * math.radians(amount))


def rotated(samples: Tensor, radians: Tensor) -> Tensor:
    """Rotate images (N, C, H, W) counter-clockwise by angles (N,); float32 in the range of the samples."""
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    return affine(samples, (cos, -sin, zero), (sin, cos, zero))


def scale(samples: Tensor, low: float, high: float, draws: Draws) -> Tensor:
    """Enlarge each image about its center by a factor from `low` to `high`, with black padding below 1."""
    return scaled(samples, draws.within(low, high))


def scaled(samples: Tensor, factors: Tensor) -> Tensor:
    """Enlarge images (N, C, H, W) about their centers by factors (N,); float32 in the range of the samples."""
    zero, inverse = torch.zeros_like(factors), 1 / factors
    return affine(samples, (inverse, zero, zero), (zero, inverse, zero))


def perspective(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Move the corners of each image inward by up to `amount` of half its sides, with black padding."""
    height, width = samples.shape[2:]
    corners = []
    for is_right, is_lower in ((0, 0), (1, 0), (1, 1), (0, 1)):
        x, y = (draws.uniform() * (amount * side / 2) for side in (width, height))
        corners.append((width - x if is_right else x, height - y if is_lower else y))
    return in_perspective(samples, tuple(corners))


def in_perspective(samples: Tensor, corners: Corners) -> Tensor:
    """Draw images (N, C, H, W) so that their corners come to lie at `corners`, of a convex region; float32.

    The map from the unit square to the region is Heckbert's (1989), and its inverse is the adjugate matrix.
    """
    height, width = samples.shape[2:]
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners
    sum_x, sum_y = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    determinant = (x1 - x2) * (y3 - y2) - (x3 - x2) * (y1 - y2)
    g = (sum_x * (y3 - y2) - (x3 - x2) * sum_y) / determinant
    h = ((x1 - x2) * sum_y - sum_x * (y1 - y2)) / determinant
    a, b, c = x1 - x0 + g * x1, x3 - x0 + h * x3, x0
    d, e, f = y1 - y0 + g * y1, y3 - y0 + h * y3, y0
    u_row, v_row = (e - f * h, c * h - b, b * f - c * e), (f * g - d, a - c * g, c * d - a * f)
    w_row = (d * h - e * g, b * g - a * h, a * e - b * d)
    x, y = (torch.arange(side, device=samples.device, dtype=torch.float32) + 0.5 for side in (width, height))
    rows = ([value.view(-1, 1, 1) for value in row] for row in (u_row, v_row, w_row))
    u, v, w = (i * x + j * y[:, None] + k for i, j, k in rows)  # (N, H, W)
    grid = torch.stack([2 * u / w - 1, 2 * v / w - 1], dim=-1)
    return F.grid_sample(samples.float(), grid, align_corners=False)


def resized_crop(samples: Tensor, low: float, high: float, draws: Draws) -> Tensor:
    """Crop a box of each image, with `low` to `high` of its area, and resize it to the size of the image."""
    return resized_crops(samples, *boxes(samples.shape[2:], low, high, draws))


def boxes(size: torch.Size, low: float, high: float, draws: Draws) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width (N,) of boxes in whole pixels, in images of `size` (H, W).

    Their areas are uniform from `low` to `high` of that of the image, their aspect ratios from 3/4 to 4/3, and their
    sides at most those of the image.
    """
    area = draws.within(low, high).double() * (size[0] * size[1])  # float32 could round otherwise in another batch
    aspect = draws.within(*_ASPECTS).double().exp()  # of width to height
    height, width = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    height, width = height.clamp(1, size[0]), width.clamp(1, size[1])
    top, left = (
        (draws.uniform() * (side - length + 1)).floor() for side, length in zip(size, (height, width), strict=True)
    )
    return top, left, height, width


def resized_crops(samples: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Boxes of images (N, C, H, W), each (N,) in pixels, resized to (H, W) with bilinear interpolation; float32.

    At the edges of a box the pixels next to it count, where there are any.
    """
    tall, wide = samples.shape[2:]
    zero = torch.zeros_like(width)
    rows = (width / wide, zero, left + (width - wide) / 2), (zero, height / tall, top + (height - tall) / 2)
    x_row, y_row = (tuple(value.float() for value in row) for row in rows)
    return affine(samples, x_row, y_row, "border")


# --- values ----------------------------------------------------------------------------------------------------------


def gray(samples: Tensor) -> Tensor:
    """Luma (N, 1, H, W) of float images with one or three channels, with the weights of ITU-R BT.601."""
    if samples.shape[1] == 1:
        return samples
    red, green, blue = samples.split(1, dim=1)
    luma: Tensor = (red * 0.2989).add_(green * 0.587).add_(blue * 0.114)
    return luma


def blur(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Blur each image with probability `amount`, with a Gaussian of 0.1 to 2 pixels; float32."""
    chosen = draws.uniform() < amount
    sigma = draws.within(*_SIGMAS)
    return blurred(samples, torch.where(chosen, sigma, torch.full_like(sigma, _UNCHANGED)))


def blurred(samples: Tensor, sigma: Tensor, radius: int = _RADIUS) -> Tensor:
    """Images (N, C, H, W) blurred with standard deviations (N,) in pixels, with reflection padding; float32.

    The kernel ends `radius` pixels from its center, or where the image has no more to reflect.
    """
    x = samples.float()
    for axis in (2, 3):
        reach = min(radius, x.shape[axis] - 1)
        offsets = torch.arange(-reach, reach + 1, device=x.device)
        weights = torch.softmax(-(offsets**2) / (2 * sigma[:, None] ** 2), dim=1)  # (N, 2 * reach + 1)
        padding = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)  # noqa: PLR2004  # rows
        padded, side = F.pad(x, padding, mode="reflect"), x.shape[axis]
        x = torch.zeros_like(x)
        for i in range(2 * reach + 1):
            x.addcmul_(padded.narrow(axis, i, side), weights[:, i, None, None, None])
    return x


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


# --- policies --------------------------------------------------------------------------------------------------------

# TrivialAugment and RandAugment: each image is changed by operations of its own, drawn from fourteen. They run in
# families: on a CPU each on its images, elsewhere on the whole batch, so that nothing waits for the device.
OPERATIONS = (
    "identity", "shear-x", "shear-y", "translate-x", "translate-y", "rotate", "brightness", "color", "contrast",
    "sharpness", "posterize", "solarize", "auto-contrast", "equalize",
)  # fmt: skip
LARGEST_BIN = 30  # magnitudes are numbered from 0
_LEVELS = 256
_KERNEL_SIDE = 3  # of the smoothing that sharpness is measured against


class _Space(NamedTuple):
    """The largest magnitudes of a policy."""

    shear: float  # pixels for each pixel
    translate: tuple[float, float]  # as a fraction of the side, and in pixels
    rotate: float  # degrees
    blend: float
    dropped_bits: int


_WIDE = _Space(0.99, (0.0, 32.0), 135.0, 0.99, 6)  # Müller and Hutter 2021, arXiv:2103.10158
_RAND = _Space(0.3, (150 / 331, 0.0), 30.0, 0.9, 4)  # Cubuk et al. 2020, arXiv:1909.13719


def trivial(samples: Tensor, draws: Draws) -> Tensor:
    """Change each image by one operation with a random magnitude; uint8."""
    return _changed(samples, draws, _WIDE)


def rand(samples: Tensor, count: float, magnitude: float, draws: Draws) -> Tensor:
    """Change each image by `count` operations in turn, all with one magnitude from 0 to 30; uint8."""
    for _ in range(int(count)):
        samples = _changed(samples, draws, _RAND, magnitude)
    return samples


def _changed(samples: Tensor, draws: Draws, space: _Space, magnitude: float | None = None) -> Tensor:
    operations, size = (draws.uniform() * len(OPERATIONS)).long(), samples.shape[2:]
    if magnitude is None:
        bins = (draws.uniform() * (LARGEST_BIN + 1)).floor()
    else:
        bins = torch.full_like(operations, int(magnitude))
    return apply_operations(samples, operations, magnitudes(operations, bins, size, space, draws.uniform()))


def magnitudes(operations: Tensor, bins: Tensor, size: torch.Size, space: _Space, coin: Tensor) -> Tensor:
    """The magnitudes (N,) of operations (N,), for bins from 0 to 30 and images of `size` (H, W).

    Half of those that can be negative are, where `coin`, from 0 to 1, is at most 0.5. Posterizing has the number of
    bits that are kept, solarizing the threshold from 1 to 0.
    """
    fraction = bins / LARGEST_BIN
    largest = torch.zeros_like(fraction)
    share, pixels = space.translate
    of_operations = {
        "shear-x": space.shear, "shear-y": space.shear,
        "translate-x": share * size[1] + pixels, "translate-y": share * size[0] + pixels, "rotate": space.rotate,
        "brightness": space.blend, "color": space.blend, "contrast": space.blend, "sharpness": space.blend,
    }  # fmt: skip
    for name, value in of_operations.items():
        largest += value * (operations == OPERATIONS.index(name))
    signed = largest * fraction * torch.where(coin <= 0.5, -1.0, 1.0)  # noqa: PLR2004  # a fair coin
    bits = 8 - (fraction * space.dropped_bits).round()
    is_posterize, is_solarize = (operations == OPERATIONS.index(name) for name in ("posterize", "solarize"))
    return torch.where(is_posterize, bits, torch.where(is_solarize, 1 - fraction, signed))


def apply_operations(samples: Tensor, operations: Tensor, amounts: Tensor) -> Tensor:
    """Images (N, C, H, W) of 0..255, each changed by the operation (N,) of its own with its magnitude (N,); uint8.

    Operations are positions in `OPERATIONS`; magnitudes are those of torchvision's policies.
    """
    x = samples.float().round()
    operations, amounts = operations.view(-1, 1, 1, 1), amounts.view(-1, 1, 1, 1)
    result = x.clone()
    for (first, last), change in _FAMILIES.items():
        chosen = (operations >= OPERATIONS.index(first)) & (operations <= OPERATIONS.index(last))
        if x.device.type == "cpu":
            rows = chosen.flatten().nonzero().flatten()
            if len(rows):
                result[rows] = change(x[rows], operations[rows], amounts[rows])
        else:
            result = torch.where(chosen, change(x, operations, amounts), result)
    return result.to(torch.uint8)


def _moved(x: Tensor, operations: Tensor, amounts: Tensor) -> Tensor:
    """Sheared about the upper left corner, shifted by whole pixels, or rotated about the center, and rounded."""
    height, width = x.shape[2:]

    def amount(name: str) -> Tensor:
        return (amounts * (operations == OPERATIONS.index(name))).flatten()

    shear_x, shear_y, radians = amount("shear-x"), amount("shear-y"), amount("rotate").deg2rad()
    right, down = amount("translate-x").trunc(), amount("translate-y").trunc()
    cos, sin = radians.cos(), radians.sin()
    x_row = (cos, shear_x - sin, shear_x * (height / 2) - right)
    y_row = (shear_y + sin, cos, shear_y * (width / 2) - down)
    return affine(x, x_row, y_row).round()


def _blended(x: Tensor, operations: Tensor, amounts: Tensor) -> Tensor:
    """Brightness, saturation, contrast or sharpness times 1 + the magnitude, rounded down."""
    luma = gray(x).floor()
    mean = luma.mean((1, 2, 3), keepdim=True, dtype=torch.float64).float()
    base = luma * (operations == OPERATIONS.index("color")) + mean * (operations == OPERATIONS.index("contrast"))
    base = base + _smoothed(x) * (operations == OPERATIONS.index("sharpness"))
    return (x + (x - base) * amounts).clamp(0, 255).floor()  # exact where both are equal


def _smoothed(x: Tensor) -> Tensor:
    """The mean of each pixel, which counts five times, and its eight neighbors, rounded; unchanged at the border."""
    if min(x.shape[2:]) < _KERNEL_SIDE:
        return x
    inner = (F.avg_pool2d(x, _KERNEL_SIDE, 1) * 9 + x[..., 1:-1, 1:-1] * 4) / 13
    smooth = x.clone()
    smooth[..., 1:-1, 1:-1] = inner.round()
    return smooth


def _posterized(x: Tensor, _operations: Tensor, bits: Tensor) -> Tensor:
    """Only the highest bits of each value, 0 to 8 of them."""
    step = torch.exp2(8 - bits.clamp(0, 8))
    return (x / step).floor() * step


def _solarized(x: Tensor, _operations: Tensor, threshold: Tensor) -> Tensor:
    """Values from a threshold on, 0 to 1, inverted."""
    return torch.where(x >= 255 * threshold, 255 - x, x)


def _stretched(x: Tensor, _operations: Tensor, _amounts: Tensor) -> Tensor:
    """Each channel stretched to 0..255 (rounded down); a constant one is unchanged."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    span = high - low
    return torch.where(span > 0, ((x - low) / (span / 255).clamp(min=1e-9)).clamp(0, 255).floor(), x)


def _equalized(x: Tensor, _operations: Tensor, _amounts: Tensor) -> Tensor:
    """Each channel with a nearly uniform histogram, by Pillow's formula; a channel of few values is unchanged."""
    values = x.flatten(2).long()  # (N, C, H * W)
    counts = values.new_zeros((*values.shape[:2], _LEVELS), dtype=torch.int32)
    counts.scatter_add_(2, values, torch.ones_like(values, dtype=torch.int32))
    below = counts.cumsum(2) - counts  # pixels darker than each level
    brightest = counts.gather(2, values.amax(2, keepdim=True))
    step = (values.shape[2] - brightest) // (_LEVELS - 1)
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
    equalized = table.gather(2, values).view_as(x).to(x.dtype)
    return torch.where(step[..., None] > 0, equalized, x)


_FAMILIES: dict[tuple[str, str], Callable[[Tensor, Tensor, Tensor], Tensor]] = {  # by the first and last operation
    ("shear-x", "rotate"): _moved,
    ("brightness", "sharpness"): _blended,
    ("posterize", "posterize"): _posterized,
    ("solarize", "solarize"): _solarized,
    ("auto-contrast", "auto-contrast"): _stretched,
    ("equalize", "equalize"): _equalized,
}
