"""Test-time augmentation against torchvision's transforms."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as TF  # noqa: N812  # torchvision's own abbreviation

from dlnotes_cli.inference.torch_classifier import TtaNetwork


class Squares(nn.Module):
    """Squares of weighted sums of pixels: no two views have the same output, and a mean of inputs has another one."""

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.arange(x[0].numel(), dtype=x.dtype).view(1, *x.shape[1:])
        return torch.stack([(x * weights).sum((1, 2, 3)), (x * weights**2).sum((1, 2, 3))], 1) ** 2


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shape", [(3, 1, 6, 5), (1, 3, 4, 7), (2, 1, 1, 1)])
def test_logits_are_averaged_over_shifts_and_mirror_images(shape: tuple[int, ...], *, mirror: bool) -> None:
    x = torch.rand(shape, dtype=torch.float64)
    logits = TtaNetwork(Squares(), mirror=mirror)(x)
    height, width = shape[2:]
    padded = TF.pad(x, [1, 1, 1, 1], padding_mode="edge")
    expected = torch.zeros(shape[0], 2, dtype=torch.float64)
    for weight, view in (
        (0.5, x), (0.25, TF.crop(padded, 0, 0, height, width)), (0.25, TF.crop(padded, 2, 2, height, width)),
    ):  # fmt: skip
        variants = [view, TF.horizontal_flip(view)] if mirror else [view]
        expected += weight * torch.stack([Squares()(variant) for variant in variants]).mean(0)
    torch.testing.assert_close(logits.double(), expected, rtol=1e-5, atol=1e-8)
