"""TrivialAugment and RandAugment: each image is changed by operations of its own, drawn from fourteen.

Operations run in families, and no image is handled alone: on a CPU each family runs on its images, elsewhere on the
whole batch, of which each image takes the result of its own, so that nothing waits for the device.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli.data.images.transforms import Draws, affine, gray

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
    operations = (draws.uniform() * len(OPERATIONS)).long()
    bins = (draws.uniform() * (LARGEST_BIN + 1)).floor()
    return apply_operations(
        samples, operations, magnitudes(operations, bins, samples.shape[2:], _WIDE, draws.uniform())
    )


def rand(samples: Tensor, count: float, magnitude: float, draws: Draws) -> Tensor:
    """Change each image by `count` operations in turn, all with one magnitude from 0 to 30; uint8."""
    for _ in range(int(count)):
        operations = (draws.uniform() * len(OPERATIONS)).long()
        bins = torch.full_like(operations, int(magnitude))
        amounts = magnitudes(operations, bins, samples.shape[2:], _RAND, draws.uniform())
        samples = apply_operations(samples, operations, amounts)
    return samples


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
