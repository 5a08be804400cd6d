"""Blur against torchvision."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as TF  # noqa: N812  # torchvision's own abbreviation

from dlnotes_cli.data.images.draws import Draws
from dlnotes_cli.data.images.tones import blur, blurred


@pytest.mark.parametrize("shape", [(3, 12, 17), (1, 9, 5), (1, 5, 9)])
def test_blur_against_torchvision(shape: tuple[int, int, int]) -> None:
    samples = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8))
    sigmas = torch.tensor([0.1, 0.5, 1.3, 2.0])
    changed = blurred(samples, sigmas)
    for i, sigma in enumerate(sigmas.tolist()):
        expected = TF.gaussian_blur(samples[i].float(), [9, 9], [sigma, sigma])
        torch.testing.assert_close(changed[i], expected, rtol=0, atol=1e-3)


def test_small_images_are_blurred_with_a_smaller_kernel() -> None:
    samples = torch.tensor([[[[0.0, 255.0]]]])
    changed = blurred(samples, torch.tensor([1.0]))
    assert changed.shape == samples.shape
    weights = np.exp([-0.5, 0, -0.5])  # the reflected neighbor on both sides
    expected = 255 * weights[[0, 2]].sum() / weights.sum()
    assert changed.flatten().tolist() == pytest.approx([expected, 255 - expected], abs=1e-3)


def test_a_fraction_of_the_images_is_blurred_with_standard_deviations_from_0_1_to_2() -> None:
    dot = torch.zeros(4000, 1, 19, 19)
    dot[..., 9, 9] = 1
    changed = blur(dot, 0.4, Draws(torch.arange(4000), 6))
    is_blurred = changed[:, 0, 9, 9] < 1
    variance = (changed[:, 0].sum(1) * (torch.arange(19) - 9) ** 2).sum(1)
    assert float((variance > 0.005).float().mean()) == pytest.approx(0.4 * (1.9 - 0.15) / 1.9, abs=0.03)
    assert 1.5**2 < float(variance.max()) < 2.0**2  # the kernel ends after two standard deviations
    torch.testing.assert_close(changed[~is_blurred], dot[~is_blurred], rtol=0, atol=1e-7)
