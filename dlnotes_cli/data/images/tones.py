"""Gray values and blur of a batch of images, each image with its own parameters."""

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli.data.images.draws import Draws

_SIGMAS = (0.1, 2.0)  # pixels, as in torchvision
_RADIUS = 4  # pixels: two standard deviations
_UNCHANGED = 0.01  # a standard deviation, in pixels, whose neighbors have the weight 0 in float32


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
