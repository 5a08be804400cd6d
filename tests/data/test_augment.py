"""Augmentation: draws by counter, and operations against torchvision and plain numpy, picture by picture."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF  # noqa: N812  # torchvision's own abbreviation

from dlnotes_cli.data import augment
from dlnotes_cli.data.augment import Augmenter, Draws, Operation, flip, parse_augment, rotate, rotated, shift
from dlnotes_cli.errors import InputError
from dlnotes_cli.seeding import derived_seed

WORD = 1 << 64
SHAPE = (1, 28, 28)


def splitmix64(state: int) -> int:
    """The output function as Steele, Lea and Flood give it, for a state that has been advanced."""
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
def test_draws_are_splitmix64s(seed: int, indices: list[int]) -> None:
    draws = Draws(torch.tensor(indices), seed)
    for count in (1, 2, 3):
        start = derived_seed(seed, count)
        expected = [(splitmix64(start + 0x9E3779B97F4A7C15 * index) >> 40) / 2**24 for index in indices]
        assert draws.uniform().tolist() == expected


def test_multipliers_are_splitmix64s() -> None:
    assert [factor % WORD for factor in augment._MIX] == [0xBF58476D1CE4E5B9, 0x94D049BB133111EB]


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


def pictures(count: int, shape: tuple[int, int, int] = (3, 12, 10), seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8))


@given(order=st.permutations(range(12)), cut=st.integers(0, 12), seed=st.integers(0, 2**53), epoch=st.integers(1, 1000))
def test_a_picture_becomes_the_same_in_any_batch(order: list[int], cut: int, seed: int, epoch: int) -> None:
    samples = pictures(12)
    augmenter = Augmenter(ALL, seed)
    whole = augmenter(samples, torch.arange(12), epoch)
    for part in (torch.tensor(order[:cut], dtype=torch.int64), torch.tensor(order[cut:], dtype=torch.int64)):
        if len(part):
            torch.testing.assert_close(augmenter(samples[part], part, epoch), whole[part], rtol=0, atol=1e-3)


def test_epochs_seeds_and_places_draw_anew() -> None:
    samples, indices = pictures(64), torch.arange(64)
    base = Augmenter((Operation("shift", 3),), 0)(samples, indices, 1)
    assert not base.equal(Augmenter((Operation("shift", 3),), 0)(samples, indices, 2))
    assert not base.equal(Augmenter((Operation("shift", 3),), 1)(samples, indices, 1))
    assert not base.equal(Augmenter((Operation("shift", 3),), 0)(samples, indices + 64, 1))
    twice = Augmenter((Operation("flip"), Operation("flip")), 0)(samples, indices, 1)
    assert not twice.equal(samples)
    assert base.equal(Augmenter((Operation("shift", 3),), 0)(samples, indices, 1))


class Given(Draws):
    """Draws that are given."""

    def __init__(self, *numbers: list[float]) -> None:
        super().__init__(torch.arange(len(numbers[0])), 0)
        self._given = iter(numbers)

    def uniform(self) -> Tensor:
        return torch.tensor(next(self._given))


def test_flip_against_torchvision() -> None:
    samples = pictures(4)
    flipped = flip(samples, 0.0, Given([0.0, 0.49, 0.5, 0.99]))
    assert flipped.dtype == torch.uint8
    for i, mirrored in enumerate([True, True, False, False]):
        assert flipped[i].equal(TF.horizontal_flip(samples[i]) if mirrored else samples[i])


@pytest.mark.parametrize("reach", [1, 3, 9])
def test_shift_against_slices(reach: int) -> None:
    samples = pictures(30)
    generator = np.random.default_rng(1)
    down, right = (generator.random(30).astype(np.float32) for _ in range(2))
    down[:3], right[:3] = (0, 0.999999, 0.5), (0.999999, 0, 0.5)
    moved = shift(samples, reach, Given(down.tolist(), right.tolist()))
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


def test_a_shift_is_as_likely_each_way() -> None:
    dot = torch.zeros(7000, 1, 7, 7, dtype=torch.uint8)
    dot[:, 0, 3, 3] = 1
    moved = shift(dot, 3, Draws(torch.arange(7000), 5)).sum(dim=0)[0]
    assert int(moved.sum()) == 7000
    expected = 7000 / 49
    assert ((moved - expected) ** 2 / expected).sum() < 110  # chi squared with 48 degrees of freedom, p = 1e-6


@pytest.mark.parametrize("size", [(12, 12), (12, 20), (20, 12), (9, 9)])
def test_rotate_against_torchvision(size: tuple[int, int]) -> None:
    samples = pictures(9, (3, *size))
    turned = rotate(samples, 40.0, Given([i / 8 for i in range(9)]))
    assert turned.dtype == torch.float32
    for i in range(9):
        angle = (2 * i / 8 - 1) * 40.0
        expected = TF.rotate(samples[i : i + 1].float(), angle, InterpolationMode.BILINEAR)[0]
        torch.testing.assert_close(turned[i], expected, rtol=0, atol=0.02)
    torch.testing.assert_close(turned[4], samples[4].float(), rtol=0, atol=1e-3)


def test_a_quarter_turn_is_exact() -> None:
    samples = pictures(2, (3, 8, 8))
    turned = rotated(samples, torch.tensor([math.pi / 2, -math.pi / 2]))
    torch.testing.assert_close(turned[0], samples[0].float().rot90(1, (1, 2)), rtol=0, atol=1e-2)
    torch.testing.assert_close(turned[1], samples[1].float().rot90(-1, (1, 2)), rtol=0, atol=1e-2)


def test_augmented_pictures_keep_shape_and_range() -> None:
    samples = pictures(50)
    changed = Augmenter(ALL, 3)(samples, torch.arange(50), 1)
    assert changed.shape == samples.shape
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 255.001
    assert Augmenter((), 0)(samples, torch.arange(50), 1) is samples


# --- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "operations"),
    [
        ("none", ()),
        ("notes", (Operation("flip"), Operation("rotate", 10))),
        ("standard", (Operation("flip"), Operation("shift", 1))),
        ("strong", (Operation("flip"), Operation("rotate", 10), Operation("shift", 2))),
        (" standard ", (Operation("flip"), Operation("shift", 1))),
        ("flip", (Operation("flip"),)),
        ("flip, shift:2 ,rotate:7.5", (Operation("flip"), Operation("shift", 2), Operation("rotate", 7.5))),
        ("rotate:0", (Operation("rotate", 0),)),
        ("rotate:180", (Operation("rotate", 180),)),
        ("shift:27", (Operation("shift", 27),)),
        ("", ()),
    ],
)
def test_words(words: str, operations: tuple[Operation, ...]) -> None:
    assert parse_augment(words, SHAPE, flippable=True) == operations


@pytest.mark.parametrize(("shape", "reach"), [((1, 8, 8), 1), ((3, 32, 32), 1), ((3, 64, 56), 2), ((3, 224, 224), 8)])
def test_presets_shift_by_a_28th_of_the_smaller_side(shape: tuple[int, ...], reach: int) -> None:
    assert parse_augment("standard", shape, flippable=False) == (Operation("shift", reach),)
    assert parse_augment("strong", shape, flippable=False)[-1] == Operation("shift", 2 * reach)


@pytest.mark.parametrize("preset", ["none", "notes", "standard", "strong"])
def test_presets_never_flip_digits(preset: str) -> None:
    assert Operation("flip") not in parse_augment(preset, SHAPE, flippable=False)
    assert Operation("flip") in parse_augment("flip", SHAPE, flippable=False)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "flop",
            "unknown word 'flop'; did you mean 'flip'? choose from none, notes, standard, strong, flip, shift, rotate",
        ),
        (
            "rotat:3",
            (
                "unknown word 'rotat'; did you mean 'rotate'? "
                "choose from none, notes, standard, strong, flip, shift, rotate"
            ),
        ),
        ("standard,rotate:5", "'standard' stands alone; drop it, or the other words; words are flip, shift, rotate"),
        ("flip:3", "'flip' takes no number; write flip"),
        ("shift", "'shift' needs a number from 1 to 27, in whole pixels; write shift:2"),
        ("shift:1.5", "'shift:1.5' needs a number from 1 to 27, in whole pixels; write shift:2"),
        ("shift:28", "'shift:28' needs a number from 1 to 27, in whole pixels; write shift:2"),
        ("rotate:", "'rotate:' needs a number from 0 to 180; write rotate:2"),
        ("rotate:-1", "'rotate:-1' needs a number from 0 to 180; write rotate:2"),
        ("rotate:nan", "'rotate:nan' needs a number from 0 to 180; write rotate:2"),
        ("rotate:inf", "'rotate:inf' needs a number from 0 to 180; write rotate:2"),
        ("rotate:ten", "'rotate:ten' needs a number from 0 to 180; write rotate:2"),
    ],
)
def test_wrong_words_are_refused(words: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_augment(words, SHAPE, flippable=True)
    assert str(caught.value) == f"--augment: {line}"


def test_tables_are_not_augmented() -> None:
    assert parse_augment("none", (5,), flippable=True) == parse_augment("standard", (5,), flippable=True) == ()
    with pytest.raises(InputError, match="--augment: 'flip' is for pictures; use none with a table"):
        parse_augment("flip", (5,), flippable=True)
