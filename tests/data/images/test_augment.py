"""Augmentation: counter-based draws, and operations against torchvision and NumPy, image by image."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF  # noqa: N812  # torchvision's own abbreviation

from dlnotes_cli.data.images.augment import (
    Augmenter,
    chosen_flips,
    color,
    color_adjusted,
    crop,
    crops,
    erase,
    flip,
    gathered_crops,
    reflected,
    rotate,
    rotated,
    shift,
    vflip,
)
from dlnotes_cli.data.images.augment_parser import Operation
from dlnotes_cli.data.images.draws import Draws
from dlnotes_cli.data.images.tones import gray
from dlnotes_cli.seeding import derived_seed

WORD = 1 << 64


def splitmix64(state: int) -> int:
    """The output function of Steele, Lea and Flood for an advanced state."""
    z = state % WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def test_the_reference_is_splitmix64() -> None:
    gamma = 0x9E3779B97F4A7C15
    assert [splitmix64(1234567 + gamma * n) for n in (1, 2, 3)] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423
    ]  # fmt: skip


@given(seed=st.integers(0, (1 << 63) - 1), indices=st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_draws_are_those_of_splitmix64(seed: int, indices: list[int]) -> None:
    draws = Draws(torch.tensor(indices), seed)
    for count in (1, 2, 3):
        start = derived_seed(seed, count)
        expected = [(splitmix64(start + 0x9E3779B97F4A7C15 * index) >> 40) / 2**24 for index in indices]
        assert draws.uniform().tolist() == expected


def test_draws_are_uniform_and_independent() -> None:
    draws = Draws(torch.arange(200_000), 7)
    first, second = draws.uniform().double().numpy(), draws.uniform().double().numpy()
    for values in (first, second):
        assert values.min() >= 0
        assert values.max() < 1
        counts = np.histogram(values, bins=100, range=(0, 1))[0]
        assert ((counts - 2000) ** 2 / 2000).sum() < 180  # chi squared with 99 degrees of freedom, p = 1e-6
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.01


ALL = (Operation("flip"), Operation("rotate", 30), Operation("shift", 3))
EXACT = (Operation("flip"), Operation("crop", 2), Operation("shift", 3), Operation("color", 0.7), Operation("erase", 1))


def images(count: int, shape: tuple[int, int, int] = (3, 12, 10), seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8))


@given(order=st.permutations(range(12)), cut=st.integers(0, 12), seed=st.integers(0, 2**53), epoch=st.integers(1, 1000))
def test_an_image_is_augmented_equally_in_any_batch(order: list[int], cut: int, seed: int, epoch: int) -> None:
    samples = images(12)
    augmenter = Augmenter(ALL, seed)
    whole = augmenter(samples, torch.arange(12), epoch)
    for indices in (torch.tensor(order[:cut], dtype=torch.int64), torch.tensor(order[cut:], dtype=torch.int64)):
        if len(indices):
            torch.testing.assert_close(augmenter(samples[indices], indices, epoch), whole[indices], rtol=0, atol=1e-3)


@given(
    order=st.permutations(range(9)), cut=st.integers(1, 8), seed=st.integers(0, 2**53),
    channels=st.sampled_from([1, 3]), height=st.integers(4, 19), width=st.integers(4, 19),
)  # fmt: skip
def test_without_interpolation_augmentation_is_bit_identical_in_any_batch(
    order: list[int], cut: int, seed: int, channels: int, height: int, width: int
) -> None:
    samples = images(9, (channels, height, width), seed % 1000)
    augmenter = Augmenter(EXACT, seed)
    whole = augmenter(samples, torch.arange(9), 1)
    assert whole.shape == samples.shape
    for indices in (torch.tensor(order[:cut]), torch.tensor(order[cut:])):
        assert augmenter(samples[indices], indices, 1).equal(whole[indices])


def test_a_large_image_is_bit_identical_in_a_batch_of_one() -> None:
    samples = images(3, (3, 201, 203))
    whole = Augmenter(EXACT, 4)(samples, torch.arange(3), 1)
    for i in range(3):
        assert Augmenter(EXACT, 4)(samples[i : i + 1], torch.tensor([i]), 1).equal(whole[i : i + 1])


def test_draws_differ_by_epoch_seed_index_and_operation() -> None:
    samples, indices = images(64), torch.arange(64)
    base = Augmenter((Operation("shift", 3),), 0)(samples, indices, 1)
    assert not base.equal(Augmenter((Operation("shift", 3),), 0)(samples, indices, 2))
    assert not base.equal(Augmenter((Operation("shift", 3),), 1)(samples, indices, 1))
    assert not base.equal(Augmenter((Operation("shift", 3),), 0)(samples, indices + 64, 1))
    twice = Augmenter((Operation("flip"), Operation("flip")), 0)(samples, indices, 1)
    assert not twice.equal(samples)
    assert base.equal(Augmenter((Operation("shift", 3),), 0)(samples, indices, 1))


class FixedDraws(Draws):
    """Draws with fixed values."""

    def __init__(self, *numbers: list[float]) -> None:
        super().__init__(torch.arange(len(numbers[0])), 0)
        self._values = iter(numbers)

    def uniform(self) -> Tensor:
        return torch.tensor(next(self._values))


def test_flip_against_torchvision() -> None:
    samples = images(4)
    chosen = [True, True, False, False]
    flipped = flip(samples, torch.tensor(chosen))
    assert flipped.dtype == torch.uint8
    for i, mirrored in enumerate(chosen):
        assert flipped[i].equal(TF.horizontal_flip(samples[i]) if mirrored else samples[i])


def test_vertical_flip_against_torchvision() -> None:
    samples = images(4)
    flipped = vflip(samples, 0.0, FixedDraws([0.0, 0.49, 0.5, 0.99]))
    assert flipped.dtype == torch.uint8
    for i, mirrored in enumerate([True, True, False, False]):
        assert flipped[i].equal(TF.vertical_flip(samples[i]) if mirrored else samples[i])


@given(seed=st.integers(0, 2**53), epoch=st.integers(1, 50), position=st.integers(0, 1))
def test_two_epochs_in_a_row_flip_an_image_once(seed: int, epoch: int, position: int) -> None:
    samples, indices = images(200, (1, 1, 2)), torch.arange(200)
    samples[:, 0, 0] = torch.tensor([0, 1], dtype=torch.uint8)
    operations = ((Operation("vflip"),) * position) + (Operation("flip"),)
    states = [Augmenter(operations, seed)(samples, indices, epoch + i)[:, 0, 0, 0] for i in range(3)]
    assert states[0].equal(1 - states[1])
    assert states[0].equal(states[2])
    assert 50 < int(states[0].sum()) < 150  # fair coins: 7 standard deviations


@pytest.mark.parametrize("reach", [1, 3, 9])
def test_shift_against_a_loop(reach: int) -> None:
    samples = images(30)
    generator = np.random.default_rng(1)
    down, right = (generator.random(30).astype(np.float32) for _ in range(2))
    down[:3], right[:3] = (0, 0.999999, 0.5), (0.999999, 0, 0.5)
    moved = shift(samples, reach, FixedDraws(down.tolist(), right.tolist()))
    assert moved.dtype == torch.uint8
    for i in range(30):
        y, x = (int((2 * reach + 1) * draw[i]) - reach for draw in (down, right))
        expected = np.zeros((3, 12, 10), np.uint8)
        for row in range(12):
            for column in range(10):
                if 0 <= row + y < 12 and 0 <= column + x < 10:
                    expected[:, row, column] = samples[i, :, row + y, column + x]
        np.testing.assert_array_equal(moved[i], expected)
    assert moved[2].equal(samples[2])


@given(
    count=st.integers(1, 9), channels=st.sampled_from([1, 3]), height=st.integers(2, 13), width=st.integers(2, 13),
    seed=st.integers(0, 999), data=st.data(),
)  # fmt: skip
def test_crop_against_torchvision(
    count: int, channels: int, height: int, width: int, seed: int, data: st.DataObject
) -> None:
    reach = data.draw(st.integers(1, min(height, width) - 1))
    samples = images(count, (channels, height, width), seed)
    down, right = (
        data.draw(st.lists(st.floats(0, 0.9375, width=32), min_size=count, max_size=count)) for _ in range(2)
    )
    moved = crop(samples, reach, FixedDraws(down, right))
    assert moved.dtype == torch.uint8
    for i in range(count):
        padded = TF.pad(samples[i], [reach] * 4, padding_mode="reflect")
        top, left = (int(np.float32(2 * reach + 1) * np.float32(draw[i])) for draw in (down, right))
        assert moved[i].equal(TF.crop(padded, top, left, height, width))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_crops_against_slices(dtype: torch.dtype) -> None:
    padded = images(40, (3, 9, 11)).to(dtype).transpose(2, 3).contiguous().transpose(2, 3)  # not contiguous
    generator = np.random.default_rng(3)
    down, right = torch.from_numpy(generator.integers(0, 4, 40)), torch.from_numpy(generator.integers(0, 3, 40))
    cropped = crops(padded, down, right, (6, 9))
    for i in range(40):
        assert cropped[i].equal(padded[i, :, down[i] : down[i] + 6, right[i] : right[i] + 9])


def test_all_shifts_are_equally_likely() -> None:
    dot = torch.zeros(7000, 1, 7, 7, dtype=torch.uint8)
    dot[:, 0, 3, 3] = 1
    moved = shift(dot, 3, Draws(torch.arange(7000), 5)).sum(dim=0)[0]
    assert int(moved.sum()) == 7000
    expected = 7000 / 49
    assert ((moved - expected) ** 2 / expected).sum() < 110  # chi squared with 48 degrees of freedom, p = 1e-6


@pytest.mark.parametrize("channels", [1, 3])
def test_the_operations_for_gpus_give_the_same_bits_in_channels_last(channels: int) -> None:
    generator = torch.Generator().manual_seed(channels)
    samples = torch.randint(0, 256, (20, channels, 9, 12), dtype=torch.uint8, generator=generator)
    last = samples.contiguous(memory_format=torch.channels_last)
    down, right = torch.randint(0, 4, (2, 20), generator=generator)
    found = gathered_crops(last, down, right, (6, 9))
    assert found.equal(crops(samples, down, right, (6, 9)))
    assert found.is_contiguous(memory_format=torch.channels_last)
    for reach in (1, 8):
        assert reflected(last, reach).equal(functional.pad(samples, [reach] * 4, mode="reflect"))
    mirrored = Draws(torch.arange(20), 7).uniform() < 0.5
    assert chosen_flips(last, mirrored).equal(flip(samples, mirrored))


@pytest.mark.parametrize("size", [(12, 12), (12, 20), (20, 12), (9, 9)])
def test_rotate_against_torchvision(size: tuple[int, int]) -> None:
    samples = images(9, (3, *size))
    rotated_images = rotate(samples, 40.0, FixedDraws([i / 8 for i in range(9)]))
    assert rotated_images.dtype == torch.float32
    for i in range(9):
        angle = (2 * i / 8 - 1) * 40.0
        expected = TF.rotate(samples[i : i + 1].float(), angle, InterpolationMode.BILINEAR)[0]
        torch.testing.assert_close(rotated_images[i], expected, rtol=0, atol=0.02)
    torch.testing.assert_close(rotated_images[4], samples[4].float(), rtol=0, atol=1e-3)


def test_a_rotation_by_90_degrees_is_exact() -> None:
    samples = images(2, (3, 8, 8))
    rotated_images = rotated(samples, torch.tensor([math.pi / 2, -math.pi / 2]))
    torch.testing.assert_close(rotated_images[0], samples[0].float().rot90(1, (1, 2)), rtol=0, atol=1e-2)
    torch.testing.assert_close(rotated_images[1], samples[1].float().rot90(-1, (1, 2)), rtol=0, atol=1e-2)


def test_augmented_images_keep_shape_and_range() -> None:
    samples = images(50)
    changed = Augmenter(ALL, 3)(samples, torch.arange(50), 1)
    assert changed.shape == samples.shape
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 255.001
    assert Augmenter((), 0)(samples, torch.arange(50), 1) is samples


factors = st.floats(0, 2, width=32)


@given(
    channels=st.sampled_from([1, 3]), seed=st.integers(0, 999),
    factor=st.lists(st.tuples(factors, factors, factors), min_size=1, max_size=5),
)  # fmt: skip
def test_color_against_torchvision(channels: int, seed: int, factor: list[tuple[float, float, float]]) -> None:
    samples = images(len(factor), (channels, 7, 5), seed)
    brightness, contrast, saturation = (torch.tensor(column).view(-1, 1, 1, 1) for column in zip(*factor, strict=True))
    changed = color_adjusted(samples, brightness, contrast, saturation)
    for i, (b, c, s) in enumerate(factor):
        expected = TF.adjust_contrast(TF.adjust_brightness(samples[i] / 255, b), c)
        if channels == 3:
            expected = TF.adjust_saturation(expected, s)
        torch.testing.assert_close(changed[i], expected * 255, rtol=0, atol=1e-3)


def test_color_factors_are_centered_at_one() -> None:
    samples = images(3)
    untouched = color(samples, 0.4, FixedDraws(*([[0.5] * 3] * 3)))
    torch.testing.assert_close(untouched, samples.float(), rtol=0, atol=1e-3)
    drawn = color(samples, 0.4, FixedDraws([0.0, 0.5, 0.999], [0.5] * 3, [0.5] * 3))
    for i, factor in enumerate([0.6, 1.0, 1.4]):
        expected = TF.adjust_brightness(samples[i] / 255, factor) * 255
        torch.testing.assert_close(drawn[i], expected, rtol=0, atol=0.3)


def test_gray_against_torchvision() -> None:
    samples = images(4).float() / 255
    torch.testing.assert_close(gray(samples), TF.rgb_to_grayscale(samples), rtol=0, atol=1e-6)


@given(
    height=st.integers(1, 33), width=st.integers(1, 33), channels=st.sampled_from([1, 3]), seed=st.integers(0, 2**40),
    dtype=st.sampled_from([torch.uint8, torch.float32]),
)  # fmt: skip
def test_erase_fills_one_rectangle_as_torchvision(
    height: int, width: int, channels: int, seed: int, dtype: torch.dtype
) -> None:
    samples = torch.full((20, channels, height, width), 7, dtype=dtype)
    erased = erase(samples, 1.0, Draws(torch.arange(20), seed))
    assert erased.dtype == dtype
    for before, after in zip(samples, erased, strict=True):
        _, rows, columns = (after != 7).nonzero(as_tuple=True)
        top, left, tall, wide = (
            rows.min(),
            columns.min(),
            rows.max() - rows.min() + 1,
            columns.max() - columns.min() + 1,
        )
        value = torch.tensor(128, dtype=dtype)
        assert after.equal(TF.erase(before, int(top), int(left), int(tall), int(wide), value))


def test_erased_rectangles_have_the_size_distribution_of_torchvision() -> None:
    side, count = 100, 4000
    samples = torch.zeros(count, 1, side, side, dtype=torch.uint8)
    erased = erase(samples, 0.25, Draws(torch.arange(count), 3)) == 128
    chosen = erased.flatten(1).any(1)
    assert float(chosen.float().mean()) == pytest.approx(0.25, abs=0.03)
    tall, wide = (erased[chosen].any(axis).sum(-1).flatten().double().numpy() for axis in (3, 2))
    area, aspect = tall * wide / side**2, tall / wide
    assert 0.018 < area.min() < 0.03
    assert 0.31 < area.max() < 0.34
    assert 0.27 < aspect.min() < 0.35
    assert 2.9 < aspect.max() < 3.6
    assert area.mean() == pytest.approx((0.02 + 0.33) / 2, abs=0.012)
    assert np.log(aspect).mean() == pytest.approx(math.log(0.3 * 3.3) / 2, abs=0.08)
    touched = erased[chosen].float().mean((0, 1))
    assert bool((touched.flip(0) - touched).abs().max() < 0.1)  # the position is uniform
    assert bool((touched.flip(1) - touched).abs().max() < 0.1)


NEW = (
    Operation("vflip"), Operation("scale", 0.8, 1.2), Operation("resized-crop", 0.5, 1), Operation("perspective", 0.4),
    Operation("blur", 0.7), Operation("trivial"), Operation("rand", 2, 9),
)  # fmt: skip


@given(
    order=st.permutations(range(8)), cut=st.integers(1, 7), seed=st.integers(0, 2**53), channels=st.sampled_from([1, 3])
)
@pytest.mark.parametrize("operation", NEW, ids=str)
def test_an_image_has_the_same_variant_in_any_batch(
    operation: Operation, order: list[int], cut: int, seed: int, channels: int
) -> None:
    samples = images(8, (channels, 9, 11), seed % 99)
    before = samples.clone()
    augmenter = Augmenter((operation,), seed)
    whole = augmenter(samples, torch.arange(8), 2)
    assert samples.equal(before)
    assert whole.shape == samples.shape
    assert bool(torch.isfinite(whole.float()).all())
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 255.01
    tolerance = 1 if whole.dtype == torch.uint8 else 0.02  # a rounded value may fall on the other side
    for indices in (torch.tensor(order[:cut]), torch.tensor(order[cut:])):
        part = augmenter(samples[indices], indices, 2).float()
        torch.testing.assert_close(part, whole[indices].float(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("operation", NEW, ids=str)
def test_no_operation_waits_for_values_of_the_device(operation: Operation) -> None:
    """On the meta device, which has no values, reading one on the host is an error."""
    samples = torch.empty(5, 3, 9, 11, dtype=torch.uint8, device="meta")
    assert (
        Augmenter((operation,), 0)(samples, torch.empty(5, dtype=torch.int64, device="meta"), 1).shape == samples.shape
    )


@pytest.mark.parametrize("operation", NEW, ids=str)
def test_variants_differ_by_epoch_and_image(operation: Operation) -> None:
    samples = images(1, (3, 16, 16)).expand(40, -1, -1, -1)
    first, second = (Augmenter((operation,), 0)(samples, torch.arange(40), epoch).float() for epoch in (1, 2))
    assert not first.equal(second)
    assert not bool((first == first[0]).all())


@pytest.mark.parametrize("name", ["flip", "shift", "crop", "rotate", "color", "erase"])
@pytest.mark.parametrize("shape", [(1, 1, 5, 7), (1, 3, 8, 5), (5, 1, 9, 9)])
def test_every_operation_keeps_shape_range_and_input(name: str, shape: tuple[int, int, int, int]) -> None:
    samples = images(shape[0], shape[1:])
    before = samples.clone()
    changed = Augmenter((Operation(name, 1.0),), 3)(samples, torch.arange(shape[0]), 1)
    assert changed.shape == samples.shape
    assert changed.dtype == (torch.float32 if name in {"rotate", "color"} else torch.uint8)
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 255.001
    assert samples.equal(before)
