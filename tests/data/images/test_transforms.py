"""Operations of augmentation: counter-based draws, and each operation against torchvision, image by image."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, RandAugment, RandomResizedCrop, TrivialAugmentWide
from torchvision.transforms.v2 import functional as TF  # noqa: N812  # torchvision's own abbreviation

from dlnotes_cli.data.images import transforms as T  # noqa: N812  # as of torchvision
from dlnotes_cli.data.images.transforms import LARGEST_BIN, OPERATIONS, Draws, apply_operations, magnitudes
from dlnotes_cli.seeding import derived_seed

WORD, GAMMA = 1 << 64, 0x9E3779B97F4A7C15
BILINEAR = InterpolationMode.BILINEAR
CHANNELS = st.sampled_from([1, 3])


def images(count: int, shape: tuple[int, int, int] = (3, 12, 10), seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8))


class FixedDraws(Draws):
    """Draws with fixed values."""

    def __init__(self, *numbers: list[float]) -> None:
        super().__init__(torch.arange(len(numbers[0])), 0)
        self._values = iter(numbers)

    def uniform(self) -> Tensor:
        return torch.tensor(next(self._values))


def splitmix64(state: int) -> int:
    """The output function of Steele, Lea and Flood for an advanced state."""
    z = state % WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


@given(seed=st.integers(0, (1 << 63) - 1), indices=st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_draws_are_those_of_splitmix64(seed: int, indices: list[int]) -> None:
    assert [splitmix64(1234567 + GAMMA * n) for n in (1, 2)] == [6457827717110365317, 3203168211198807973]
    draws = Draws(torch.tensor(indices), seed)
    for count in (1, 2, 3):
        start = derived_seed(seed, count)
        expected = [(splitmix64(start + GAMMA * index) >> 40) / 2**24 for index in indices]
        assert draws.uniform().tolist() == expected


# --- flips and crops ---------------------------------------------------------------------------------------------


def test_flips_against_torchvision() -> None:
    samples = images(4)
    across = T.flip(samples, torch.tensor([True, True, False, False]))
    down = T.vflip(samples, FixedDraws([0.0, 0.49, 0.5, 0.99]))
    assert across.dtype == down.dtype == torch.uint8
    for i, mirrored in enumerate([True, True, False, False]):
        assert across[i].equal(TF.horizontal_flip(samples[i]) if mirrored else samples[i])
        assert down[i].equal(TF.vertical_flip(samples[i]) if mirrored else samples[i])


@given(
    count=st.integers(1, 9), channels=CHANNELS, height=st.integers(2, 13), width=st.integers(2, 13),
    seed=st.integers(0, 999), data=st.data(),
)  # fmt: skip
def test_shift_and_crop_against_torchvision(
    count: int, channels: int, height: int, width: int, seed: int, data: st.DataObject
) -> None:
    reach = data.draw(st.integers(1, min(height, width) - 1))
    samples = images(count, (channels, height, width), seed)
    fractions = st.lists(st.floats(0, 0.9375, width=32), min_size=count, max_size=count)
    down, right = data.draw(fractions), data.draw(fractions)
    for operation, mode in ((T.crop, "reflect"), (T.shift, "constant")):
        moved = operation(samples, reach, FixedDraws(down, right))
        assert moved.dtype == torch.uint8
        for i in range(count):
            padded = TF.pad(samples[i], [reach] * 4, padding_mode=mode)
            top, left = (int(np.float32(2 * reach + 1) * np.float32(draw[i])) for draw in (down, right))
            assert moved[i].equal(TF.crop(padded, top, left, height, width))


# --- with bilinear interpolation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(12, 12), (12, 20), (20, 12), (9, 7)])
def test_rotate_and_scale_against_torchvision(size: tuple[int, int]) -> None:
    samples, factors = images(7, (3, *size)), [0.25, 0.5, 0.8, 1.0, 1.3, 2.0, 3.7]
    rotated = T.rotate(samples, 40.0, FixedDraws([i / 6 for i in range(7)]))
    scaled = T.scaled(samples, torch.tensor(factors))
    for i, factor in enumerate(factors):
        for changed, angle, scale in ((rotated, (2 * i / 6 - 1) * 40.0, 1.0), (scaled, 0.0, factor)):
            # torchvision's affine turns clockwise, as rotate does not
            expected = TF.affine(samples[i : i + 1].float(), -angle, [0, 0], scale, [0.0, 0.0], BILINEAR)[0]
            torch.testing.assert_close(changed[i], expected, rtol=0, atol=0.02)


@given(height=st.integers(2, 15), width=st.integers(2, 15), channels=CHANNELS, seed=st.integers(0, 999), data=st.data())
def test_resized_crops_against_torchvision(
    height: int, width: int, channels: int, seed: int, data: st.DataObject
) -> None:
    samples = images(3, (channels, height, width), seed)
    chosen = []
    for _ in range(3):
        tall, wide = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
        chosen.append((data.draw(st.integers(0, height - tall)), data.draw(st.integers(0, width - wide)), tall, wide))
    changed = T.resized_crops(samples, *torch.tensor(chosen, dtype=torch.float32).T)
    for i, (top, left, tall, wide) in enumerate(chosen):
        expected = TF.resized_crop(samples[i].float(), top, left, tall, wide, [height, width], BILINEAR)
        rows, columns = (  # whose neighbors are in the box
            [at for at in range(side) if 0.5 <= (at + 0.5) * length / side <= length - 0.5]
            for side, length in ((height, tall), (width, wide))
        )
        inner = np.ix_(range(channels), rows, columns)
        torch.testing.assert_close(changed[i][inner], expected[inner], rtol=0, atol=0.05)


def test_boxes_have_the_areas_and_aspect_ratios_of_torchvision() -> None:
    height, width, count = 200, 300, 3000
    top, left, tall, wide = T.boxes(torch.Size((height, width)), 0.2, 0.4, Draws(torch.arange(count), 2))
    crop, image = RandomResizedCrop(10, scale=(0.2, 0.4)), torch.zeros(1, height, width)
    torch.manual_seed(0)
    theirs = torch.tensor([[crop.make_params([image])[name] for name in ("height", "width")] for _ in range(count)])
    area, aspect, ratio = tall * wide / (height * width), wide / tall, theirs[:, 1] / theirs[:, 0]
    expected = [0.2, 0.4, float(theirs.double().prod(1).mean()) / (height * width)]
    assert [float(value) for value in (area.min(), area.max(), area.mean())] == pytest.approx(expected, abs=0.01)
    assert float(aspect.log().mean()) == pytest.approx(float(ratio.log().mean()), abs=0.03)
    assert float(aspect.log().abs().max()) <= math.log(4 / 3) + 0.02
    for start, length, side in ((top, tall, height), (left, wide, width)):
        assert bool(((start >= 0) & (start + length <= side)).all())
        assert float((start / (side - length)).mean()) == pytest.approx(0.5, abs=0.02)


@given(seed=st.integers(0, 999), height=st.integers(2, 21), width=st.integers(2, 21))
def test_perspective_against_torchvision(seed: int, height: int, width: int) -> None:
    samples = images(4, (3, height, width), seed)
    inward = np.random.default_rng(seed).uniform(0, 0.3, (4, 4, 2))  # of the sides, for each image and corner
    start = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    toward = np.sign(np.array([width, height]) / 2 - start) * np.array([width, height])
    end = start + inward * toward
    corners = tuple((torch.tensor(end[:, i, 0]).float(), torch.tensor(end[:, i, 1]).float()) for i in range(4))
    changed = T.in_perspective(samples, corners)
    for i in range(4):
        expected = TF.perspective(samples[i].float(), start.tolist(), end[i].tolist(), BILINEAR)
        torch.testing.assert_close(changed[i], expected, rtol=0, atol=0.3)


# --- values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 12, 17), (1, 9, 5), (1, 1, 2)])
def test_blur_against_torchvision(shape: tuple[int, int, int]) -> None:
    samples = images(4, shape)
    sigmas = torch.tensor([0.1, 0.5, 1.3, 2.0])
    changed = T.blurred(samples, sigmas)
    kernel = [2 * min(side - 1, 4) + 1 for side in (shape[2], shape[1])]  # no wider than the image can be reflected
    for i, sigma in enumerate(sigmas.tolist()):
        expected = TF.gaussian_blur(samples[i].float(), kernel, [sigma, sigma])
        torch.testing.assert_close(changed[i], expected, rtol=0, atol=1e-3)


FACTORS = st.floats(0, 2, width=32)


@given(
    channels=CHANNELS, seed=st.integers(0, 999),
    factor=st.lists(st.tuples(FACTORS, FACTORS, FACTORS), min_size=1, max_size=5),
)  # fmt: skip
def test_color_against_torchvision(channels: int, seed: int, factor: list[tuple[float, float, float]]) -> None:
    samples = images(len(factor), (channels, 7, 5), seed)
    brightness, contrast, saturation = (torch.tensor(column).view(-1, 1, 1, 1) for column in zip(*factor, strict=True))
    changed = T.color_adjusted(samples, brightness, contrast, saturation)
    for i, (b, c, s) in enumerate(factor):
        expected = TF.adjust_contrast(TF.adjust_brightness(samples[i] / 255, b), c)
        if channels == 3:
            expected = TF.adjust_saturation(expected, s)
        torch.testing.assert_close(changed[i], expected * 255, rtol=0, atol=1e-3)


def test_parameters_are_linear_in_the_draws() -> None:
    samples, ends = images(3, (1, 14, 20)), [0.0, 0.5, 0.999]
    middle = [0.5] * 3
    scaled = T.scaled(samples, torch.tensor([0.5, 1.0, 1.499]))
    torch.testing.assert_close(T.scale(samples, 0.5, 1.5, FixedDraws(ends)), scaled, rtol=0, atol=1e-2)
    blurred = T.blurred(samples, torch.tensor([0.1, 1.05, 1e-3]))
    torch.testing.assert_close(T.blur(samples, 0.9, FixedDraws(ends, ends)), blurred, rtol=1e-4, atol=1e-2)
    colored = T.color(samples, 0.4, FixedDraws(ends, middle, middle))
    expected = [TF.adjust_brightness(x / 255, factor) * 255 for x, factor in zip(samples, (0.6, 1, 1.4), strict=True)]
    torch.testing.assert_close(colored, torch.stack(expected), rtol=0, atol=0.3)
    zero = [0.0] * 3
    moved = T.perspective(samples, 0.5, FixedDraws(ends, zero, *[zero] * 6))  # the upper left corner to the right
    corner = (torch.tensor(ends) * 5, torch.zeros(3))
    others = tuple((torch.full((3,), x), torch.full((3,), y)) for x, y in ((20.0, 0.0), (20.0, 14.0), (0.0, 14.0)))
    torch.testing.assert_close(moved, T.in_perspective(samples, (corner, *others)), rtol=0, atol=1e-2)


@given(height=st.integers(1, 33), width=st.integers(1, 33), channels=CHANNELS, seed=st.integers(0, 2**40))
def test_erase_fills_one_rectangle_as_torchvision(height: int, width: int, channels: int, seed: int) -> None:
    for dtype in (torch.uint8, torch.float32):
        samples = torch.full((20, channels, height, width), 7, dtype=dtype)
        erased = T.erase(samples, 1.0, Draws(torch.arange(20), seed))
        assert erased.dtype == dtype
        for before, after in zip(samples, erased, strict=True):
            _, rows, columns = (after != 7).nonzero(as_tuple=True)
            box = [
                int(rows.min()),
                int(columns.min()),
                int(rows.max() - rows.min()) + 1,
                int(columns.max() - columns.min()) + 1,
            ]
            assert after.equal(TF.erase(before, *box, torch.tensor(128, dtype=dtype)))


def test_erased_rectangles_have_the_size_distribution_of_torchvision() -> None:
    side, count = 100, 4000
    samples = torch.zeros(count, 1, side, side, dtype=torch.uint8)
    erased = T.erase(samples, 0.25, Draws(torch.arange(count), 3)) == 128
    chosen = erased.flatten(1).any(1)
    assert float(chosen.float().mean()) == pytest.approx(0.25, abs=0.03)
    tall, wide = (erased[chosen].any(axis).sum(-1).flatten().double().numpy() for axis in (3, 2))
    area, aspect = tall * wide / side**2, tall / wide
    assert [area.min(), area.mean(), area.max()] == pytest.approx([0.02, 0.175, 0.33], abs=0.015)
    assert [aspect.min(), aspect.max()] == pytest.approx([0.3, 3.3], rel=0.15)
    touched = erased[chosen].float().mean((0, 1))
    assert all(bool((touched.flip(axis) - touched).abs().max() < 0.1) for axis in (0, 1))  # the position is uniform


# --- policies ----------------------------------------------------------------------------------------------------

NAMES = {name: "".join(part.capitalize() for part in name.split("-")) for name in OPERATIONS}
POLICIES = {"trivial": (TrivialAugmentWide, T._WIDE), "rand": (RandAugment, T._RAND)}


def structured(count: int, shape: tuple[int, int, int], seed: int) -> Tensor:
    """Images with structure: noise of few and of many values, so that histograms have gaps."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(20, 236, (count, *shape))
    levels = generator.choice([10, 60, 61, 200], (count, *shape))
    return torch.from_numpy(np.where(generator.random((count, 1, 1, 1)) < 0.5, noise, levels).astype(np.uint8))


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
    samples = structured(7, shape, len(name))
    changed = apply_operations(samples, operations, amounts)
    assert changed.dtype == torch.uint8
    apply = partial(TrivialAugmentWide()._apply_image_or_video_transform, interpolation=BILINEAR, fill={})
    expected = torch.stack([apply(samples[i], NAMES[name], float(amounts[i])) for i in range(7)])
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
    seen: list[tuple[Tensor, ...]] = []

    def record(samples: Tensor, *drawn: Tensor) -> Tensor:
        seen.append(drawn)
        return samples

    monkeypatch.setattr(T, "apply_operations", record)
    count = 31 * 14 * 20
    T.trivial(torch.zeros(count, 1, 4, 4), Draws(torch.arange(count), 4))
    T.rand(torch.zeros(count, 1, 4, 4), 1, 9, Draws(torch.arange(count), 4))
    rotations = []
    for operations, amounts in seen:
        counts = operations.bincount(minlength=14).double()
        assert float(((counts - count / 14) ** 2 / (count / 14)).sum()) < 45  # chi squared, 13 degrees, p = 2e-5
        rotations.append(amounts[operations == OPERATIONS.index("rotate")])
    assert len(rotations[0].abs().unique()) == 31
    assert float((rotations[0] < 0).float().mean()) == pytest.approx(0.5 * 30 / 31, abs=0.06)
    assert float(rotations[0].abs().mean()) == pytest.approx(67.5, abs=5)
    assert rotations[1].abs().unique().tolist() == pytest.approx([9.0])
