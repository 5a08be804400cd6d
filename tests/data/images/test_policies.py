"""TrivialAugment and RandAugment against torchvision: each operation, their magnitudes, and how often each is drawn."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, RandAugment, TrivialAugmentWide

from dlnotes_cli.data.images.policies import (
    _RAND,
    _WIDE,
    LARGEST_BIN,
    OPERATIONS,
    apply_operations,
    magnitudes,
    rand,
    trivial,
)
from dlnotes_cli.data.images.transforms import Draws

NAMES = dict(
    zip(
        OPERATIONS,
        ("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast",
         "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
        strict=True,
    )
)  # fmt: skip
POLICIES = {"trivial": (TrivialAugmentWide, _WIDE), "rand": (RandAugment, _RAND)}


def images(count: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    """Images with structure: noise of few and of many values, so that histograms have gaps."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(20, 236, (count, *shape))
    levels = generator.choice([10, 60, 61, 200], (count, *shape))
    return torch.from_numpy(np.where(generator.random((count, 1, 1, 1)) < 0.5, noise, levels).astype(np.uint8))


def theirs(image: Tensor, name: str, magnitude: float) -> Tensor:
    """One operation of torchvision, with bilinear interpolation."""
    policy = TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)
    changed: Tensor = policy._apply_image_or_video_transform(
        image, NAMES[name], magnitude, interpolation=InterpolationMode.BILINEAR, fill={}
    )
    return changed


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("shape", [(3, 14, 11), (1, 9, 16)])
def test_each_operation_against_torchvision(policy: str, name: str, shape: tuple[int, int, int]) -> None:
    """Equal but for roundings: at most one gray level, and of one pixel in twenty."""
    space = POLICIES[policy][1]
    bins = torch.tensor([0.0, 1, 7, 15, 22, 29, 30])
    operations = torch.full((7,), OPERATIONS.index(name))
    coin = torch.tensor([0.2, 0.9, 0.1, 0.7, 0.3, 0.6, 0.4])
    amounts = magnitudes(operations, bins, torch.Size(shape[1:]), space, coin)
    samples = images(7, shape, seed=len(name))
    changed = apply_operations(samples, operations, amounts)
    assert changed.dtype == torch.uint8
    expected = torch.stack([theirs(samples[i], name, float(amounts[i])) for i in range(7)])
    difference = (changed.int() - expected.int()).abs()
    assert int(difference.max()) <= 1, name
    assert float((difference > 0).float().mean()) < 0.05, name


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("size", [(32, 32), (28, 50)])
def test_magnitudes_are_those_of_torchvision(policy: str, size: tuple[int, int]) -> None:
    policy_type, space = POLICIES[policy]
    for name, (function, is_signed) in policy_type._AUGMENTATION_SPACE.items():
        values = function(LARGEST_BIN + 1, *size)
        operations = torch.full((31,), list(NAMES.values()).index(name))
        for coin, sign in ((0.9, 1), (0.5, -1)):
            amounts = magnitudes(operations, torch.arange(31.0), torch.Size(size), space, torch.full((31,), coin))
            expected = torch.zeros(31) if values is None else values.float() * (sign if is_signed else 1)
            torch.testing.assert_close(amounts, expected, rtol=1e-6, atol=1e-5)


def test_every_operation_and_bin_of_trivial_augment_is_equally_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def record(samples: Tensor, operations: Tensor, amounts: Tensor) -> Tensor:
        seen.append((operations, amounts))
        return samples

    monkeypatch.setattr("dlnotes_cli.data.images.policies.apply_operations", record)
    count = 31 * 14 * 20
    trivial(torch.zeros(count, 1, 4, 4), Draws(torch.arange(count), 4))
    rand(torch.zeros(count, 1, 4, 4), 1, 9, Draws(torch.arange(count), 4))
    rotations = []
    for operations, amounts in seen:
        counts = operations.bincount(minlength=14).double()
        assert float(((counts - count / 14) ** 2 / (count / 14)).sum()) < 45  # chi squared, 13 degrees, p = 2e-5
        rotations.append(amounts[operations == OPERATIONS.index("rotate")])
    assert len(rotations[0].abs().unique()) == 31
    assert float((rotations[0] < 0).float().mean()) == pytest.approx(0.5 * 30 / 31, abs=0.06)
    assert float(rotations[0].abs().mean()) == pytest.approx(67.5, abs=5)
    assert rotations[1].abs().unique().tolist() == pytest.approx([9.0])
