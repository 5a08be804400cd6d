"""Images as spectra: a parametrization in which gradient ascent finds smooth images with natural colors.

After Olah, Mordvintsev and Schubert, "Feature visualization", 2017 (doi:10.23915/distill.00007).
"""

from functools import cache
from math import pi

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli.data.images.decode import decode_image
from dlnotes_cli.data.images.sample_images import sample_image
from dlnotes_cli.data.preprocessing import ImageShape

_START = 0.01  # standard deviation of the spectrum at the start: almost gray
_IMAGES = ("china.jpg", "flower.jpg")  # whose colors are taken as natural
_IMAGE_SIDE = 128
_MAX_PIXELS = 10**7
_DECAY = 1.4  # exponent of the frequency, by which its weight falls
_ZOOM = (0.8, 1.25)
_ROTATION = pi / 18  # 10 degrees to each side
_SHIFT = 1 / 8  # of a side, to each side


class FourierImages:
    """Images (N, C, H, W) in 0..255 that are computed from a spectrum, which is what is optimized.

    Low frequencies have more weight, as in natural images, and the channels of the spectrum are uncorrelated colors.
    """

    def __init__(
        self, count: int, shape: tuple[int, int, int], generator: torch.Generator, device: torch.device
    ) -> None:
        channels, height, width = shape
        rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
        frequency = (rows**2 + columns**2).sqrt().clamp(min=1 / max(height, width))
        longest = max(height, width)
        self._weight = (longest**0.5 / (longest * frequency) ** _DECAY).to(device)
        self._size = (height, width)
        self._colors = (natural_colors() if channels == 3 else torch.eye(channels)).to(device)  # noqa: PLR2004  # RGB
        start = torch.randn(count, channels, *frequency.shape, 2, generator=generator)
        self.spectrum = (_START * start).to(device).requires_grad_()

    def __call__(self) -> Tensor:
        """The images."""
        weighted = torch.view_as_complex(self.spectrum) * self._weight
        decorrelated = torch.fft.irfft2(weighted, s=self._size, norm="ortho")
        return 255 * torch.einsum("nkhw,ck->nchw", decorrelated, self._colors).sigmoid()


@cache
def natural_colors() -> Tensor:
    """A matrix (3, 3) from independent values to colors that vary together as in two images.

    Its product with its transpose is their covariance, scaled to a largest column norm of 1.
    """
    shape = ImageShape(3, _IMAGE_SIDE, _IMAGE_SIDE, "crop")
    images = [decode_image(sample_image(name, "scikit-learn"), shape, _MAX_PIXELS) for name in _IMAGES]
    pixels = np.concatenate([image.reshape(3, -1) for image in images], axis=1)
    variances, directions = np.linalg.eigh(np.cov(pixels / 255))
    root = directions * np.sqrt(variances)
    return torch.tensor(root / np.linalg.norm(root, axis=0).max(), dtype=torch.float32)


def transformed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W), each shifted, zoomed and rotated a little at random, so that no single pixel matters."""
    count = len(images)
    draws = torch.rand(count, 4, generator=generator)
    zoom = _ZOOM[0] + (_ZOOM[1] - _ZOOM[0]) * draws[:, 0]
    angle = _ROTATION * (2 * draws[:, 1] - 1)
    shift = 2 * _SHIFT * (2 * draws[:, 2:] - 1)  # in the coordinates of affine_grid, where a side is 2 long
    cosine, sine = angle.cos() / zoom, angle.sin() / zoom
    rows = [torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1).to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
