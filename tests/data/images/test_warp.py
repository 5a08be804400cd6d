"""Geometric augmentation against torchvision, image by image, with the same parameters."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, RandomResizedCrop
from torchvision.transforms.v2 import functional as TF  # noqa: N812  # torchvision's own abbreviation

from dlnotes_cli.data.images.draws import Draws
from dlnotes_cli.data.images.warp import (
    boxes,
    in_perspective,
    perspective,
    resized_crop,
    resized_crops,
    scale,
    scaled,
)

BILINEAR = InterpolationMode.BILINEAR


def images(count: int, shape: tuple[int, int, int] = (3, 12, 10), seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8))


@pytest.mark.parametrize("size", [(12, 12), (12, 20), (9, 7)])
def test_scale_against_torchvision(size: tuple[int, int]) -> None:
    samples = images(7, (3, *size))
    factors = torch.tensor([0.25, 0.5, 0.8, 1.0, 1.3, 2.0, 3.7])
    changed = scaled(samples, factors)
    for i, factor in enumerate(factors.tolist()):
        expected = TF.affine(samples[i : i + 1].float(), 0.0, [0, 0], factor, [0.0, 0.0], BILINEAR)[0]
        torch.testing.assert_close(changed[i], expected, rtol=0, atol=0.02)
    torch.testing.assert_close(changed[3], samples[3].float(), rtol=0, atol=1e-3)


def test_factors_are_uniform_in_their_interval() -> None:
    """The scaled width of a centered square of white shows the factor."""
    square = torch.zeros(2000, 1, 40, 40)
    square[..., 10:30, 10:30] = 1
    factors = (scale(square, 0.5, 1.5, Draws(torch.arange(2000), 1)).sum((1, 2, 3)) / 400).sqrt()
    assert float(factors.min()) == pytest.approx(0.5, abs=0.02)
    assert float(factors.max()) == pytest.approx(1.5, abs=0.02)
    assert float(factors.mean()) == pytest.approx(1.0, abs=0.03)


@given(
    height=st.integers(2, 15), width=st.integers(2, 15), channels=st.sampled_from([1, 3]), seed=st.integers(0, 999),
    data=st.data(),
)  # fmt: skip
def test_resized_crops_against_torchvision(
    height: int, width: int, channels: int, seed: int, data: st.DataObject
) -> None:
    samples = images(3, (channels, height, width), seed)
    chosen = []
    for _ in range(3):
        tall, wide = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
        chosen.append((data.draw(st.integers(0, height - tall)), data.draw(st.integers(0, width - wide)), tall, wide))
    changed = resized_crops(samples, *torch.tensor(chosen, dtype=torch.float32).T)
    for i, (top, left, tall, wide) in enumerate(chosen):
        expected = TF.resized_crop(samples[i].float(), top, left, tall, wide, [height, width], BILINEAR)
        torch.testing.assert_close(changed[i], expected, rtol=0, atol=0.05)


def test_boxes_have_the_areas_and_aspect_ratios_of_torchvision() -> None:
    height, width, count = 200, 300, 3000
    top, left, tall, wide = boxes(torch.Size((height, width)), 0.2, 0.4, Draws(torch.arange(count), 2))
    crop, image = RandomResizedCrop(10, scale=(0.2, 0.4)), torch.zeros(1, height, width)
    torch.manual_seed(0)
    parameters = [crop.make_params([image]) for _ in range(count)]
    theirs = [torch.tensor([p[name] for p in parameters], dtype=torch.float64) for name in ("height", "width")]
    area, aspect = tall * wide / (height * width), wide / tall
    assert float(area.min()) == pytest.approx(0.2, abs=0.01)
    assert float(area.max()) == pytest.approx(0.4, abs=0.01)
    assert float(area.mean()) == pytest.approx(float((theirs[0] * theirs[1]).mean()) / (height * width), abs=0.01)
    assert float(aspect.log().mean()) == pytest.approx(float((theirs[1] / theirs[0]).log().mean()), abs=0.02)
    assert float(aspect.log().abs().max()) <= math.log(4 / 3) + 0.02
    for start, length, side in ((top, tall, height), (left, wide, width)):
        assert bool(((start >= 0) & (start + length <= side)).all())
        assert float((start / (side - length)).mean()) == pytest.approx(0.5, abs=0.02)


def test_a_crop_of_the_whole_area_of_a_square_is_at_most_resized() -> None:
    samples = images(50, (3, 12, 12))
    changed = resized_crop(samples, 1.0, 1.0, Draws(torch.arange(50), 0))
    top, _left, tall, wide = boxes(torch.Size((12, 12)), 1.0, 1.0, Draws(torch.arange(50), 0))
    whole = (tall == 12) & (wide == 12)
    assert bool(whole.any())
    assert bool((top[whole] == 0).all())
    torch.testing.assert_close(changed[whole], samples[whole].float(), rtol=0, atol=1e-3)


@given(seed=st.integers(0, 999), height=st.integers(2, 21), width=st.integers(2, 21))
def test_perspective_against_torchvision(seed: int, height: int, width: int) -> None:
    samples = images(4, (3, height, width), seed)
    generator = np.random.default_rng(seed)
    inward = generator.uniform(0, 0.3, (4, 4, 2))  # of the sides, for each image and corner
    start = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    toward = np.sign(np.array([width, height]) / 2 - start) * np.array([width, height])
    end = start + inward * toward
    corners = tuple((torch.tensor(end[:, i, 0]).float(), torch.tensor(end[:, i, 1]).float()) for i in range(4))
    changed = in_perspective(samples, corners)
    for i in range(4):
        expected = TF.perspective(samples[i].float(), start.tolist(), end[i].tolist(), BILINEAR)
        torch.testing.assert_close(changed[i], expected, rtol=0, atol=0.3)


def test_corners_move_inward_by_at_most_the_amount() -> None:
    """White images: the corners of the region that stays white are those of the draws."""
    white = torch.full((300, 1, 60, 80), 255, dtype=torch.uint8)
    moved = perspective(white, 0.5, Draws(torch.arange(300), 3))
    area = (moved / 255).mean((1, 2, 3))
    assert float(area.max()) <= 1.0001
    assert float(area.min()) >= 0.5**2 - 0.01
    assert bool((moved[:, :, 16:-16, 21:-21] > 254.9).all())  # a quarter of the sides from each border
    torch.testing.assert_close(perspective(white, 0.0, Draws(torch.arange(300), 3)), white.float(), rtol=0, atol=0.01)
