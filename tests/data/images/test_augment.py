"""Augmentation of batches: functions of seed, epoch and index alone; mixup and CutMix against loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dlnotes_cli.data.images.augment import Augmenter, Mixer, TrainingBatch, cutmix, mixup
from dlnotes_cli.data.images.augment_parser import Operation

EXACT = tuple(Operation(name, 1) for name in ("flip", "vflip", "shift", "crop", "color", "erase"))
ROUNDED = (
    Operation("rotate", 30), Operation("scale", 0.8, 1.2), Operation("resized-crop", 0.5, 1), Operation("blur", 0.7),
    Operation("perspective", 0.4), Operation("trivial"), Operation("rand", 2, 9),
)  # fmt: skip
EACH = pytest.mark.parametrize("operation", [*EXACT, *ROUNDED], ids=str)
shapes = st.tuples(st.integers(1, 7), st.sampled_from([1, 3]), st.integers(1, 13), st.integers(1, 13))


def images(count: int, shape: tuple[int, ...] = (3, 12, 10), seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8))


@given(
    order=st.permutations(range(8)), cut=st.integers(1, 7), seed=st.integers(0, 2**53),
    channels=st.sampled_from([1, 3]), size=st.sampled_from([(9, 11), (4, 4), (51, 47)]),
)  # fmt: skip
@EACH
def test_an_image_has_the_same_variant_in_any_batch(
    operation: Operation, order: list[int], cut: int, seed: int, channels: int, size: tuple[int, int]
) -> None:
    samples = images(8, (channels, *size), seed % 99)
    before = samples.clone()
    augmenter = Augmenter((operation,), seed)
    whole = augmenter(samples, torch.arange(8), 2)
    assert samples.equal(before)
    assert whole.shape == samples.shape
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 255.01
    tolerance = (
        0.0 if operation in EXACT else 1.0 if whole.dtype == torch.uint8 else 0.02
    )  # a value may round otherwise
    for indices in (torch.tensor(order[:cut]), torch.tensor(order[cut:])):
        part = augmenter(samples[indices], indices, 2).float()
        torch.testing.assert_close(part, whole[indices].float(), rtol=0, atol=tolerance)


@EACH
def test_variants_differ_by_epoch_seed_image_and_position(operation: Operation) -> None:
    samples, indices = images(1, (3, 16, 16)).expand(40, -1, -1, -1), torch.arange(40)
    base = Augmenter((operation,), 0)(samples, indices, 1)
    assert base.equal(Augmenter((operation,), 0)(samples, indices, 1))
    assert not bool((base == base[0]).all())
    for other in (
        Augmenter((operation,), 0)(samples, indices, 2),
        Augmenter((operation,), 1)(samples, indices, 1),
        Augmenter((operation,), 0)(samples, indices + 64, 1),
        Augmenter((Operation("erase", 0.0), operation), 0)(samples, indices, 1),
    ):
        assert not base.equal(other)


@EACH
def test_no_operation_waits_for_values_of_the_device(operation: Operation) -> None:
    """On the meta device, which has no values, reading one on the host is an error."""
    samples, indices = (torch.empty(5, *more, dtype=dtype, device="meta") for more, dtype in
                        (((3, 9, 11), torch.uint8), ((), torch.int64)))  # fmt: skip
    assert Augmenter((operation,), 0)(samples, indices, 1).shape == samples.shape


@given(seed=st.integers(0, 2**53), epoch=st.integers(1, 50), position=st.integers(0, 1))
def test_two_epochs_in_a_row_flip_an_image_once(seed: int, epoch: int, position: int) -> None:
    samples, indices = images(200, (1, 1, 2)), torch.arange(200)
    samples[:, 0, 0] = torch.tensor([0, 1], dtype=torch.uint8)
    operations = ((Operation("vflip"),) * position) + (Operation("flip"),)
    states = [Augmenter(operations, seed)(samples, indices, epoch + i)[:, 0, 0, 0] for i in range(3)]
    assert states[0].equal(1 - states[1])
    assert states[0].equal(states[2])
    assert 50 < int(states[0].sum()) < 150  # fair coins: 7 standard deviations


# --- mixing ------------------------------------------------------------------------------------------------------


@given(shape=shapes, weight=st.floats(0, 1))
def test_mixup_against_a_loop(shape: tuple[int, ...], weight: float) -> None:
    samples = images(shape[0], shape[1:])
    mixed = mixup(samples, weight)
    assert mixed.dtype == torch.float32
    for i in range(shape[0]):
        expected = weight * samples[i].double() + (1 - weight) * samples[i - 1].double()
        torch.testing.assert_close(mixed[i].double(), expected, rtol=0, atol=1e-3)


@given(shape=shapes, weight=st.floats(0, 1), center=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)))
def test_cutmix_against_a_loop(shape: tuple[int, ...], weight: float, center: tuple[float, float]) -> None:
    """Yun et al. 2019, appendix A, algorithm 1: box sides are sqrt(1 - weight) of the image's, clipped."""
    samples = images(shape[0], shape[1:])
    before = samples.clone()
    mixed, remaining = cutmix(samples, weight, center)
    assert samples.equal(before)
    assert mixed.dtype == torch.uint8
    count, _, height, width = shape
    tall, wide = int(height * (1 - weight) ** 0.5) // 2, int(width * (1 - weight) ** 0.5) // 2
    y, x = int(height * center[0]), int(width * center[1])
    replaced = 0
    for row in range(height):
        for column in range(width):
            is_inside = y - tall <= row < y + tall and x - wide <= column < x + wide
            replaced += is_inside
            for i in range(count):
                assert mixed[i, :, row, column].equal(samples[i - is_inside, :, row, column])
    assert remaining == pytest.approx(1 - replaced / (height * width))


def test_without_a_mixing_operation_the_batch_is_unchanged() -> None:
    samples, labels = images(4, (1, 3, 3)), torch.arange(4)
    mixed = Mixer((Operation("flip"),), 0)(samples, labels, epoch=1, batch=0)
    assert mixed.samples is samples
    assert mixed.labels is mixed.dominant is labels
    assert mixed.mixed_labels is None
    assert mixed.weight == 1


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_weight_and_mixed_labels_are_functions_of_seed_epoch_and_batch(name: str) -> None:
    samples, labels = images(5, (3, 16, 16)), torch.tensor([3, 1, 4, 1, 5])
    mixer = Mixer((Operation("flip"), Operation(name, 1.0)), 7)
    mixed = mixer(samples, labels, epoch=2, batch=3)
    assert mixed.mixed_labels is not None
    assert mixed.mixed_labels.tolist() == [5, 3, 1, 4, 1]
    again = Mixer((Operation(name, 1.0),), 7)(samples, labels, epoch=2, batch=3)
    assert again.samples.equal(mixed.samples)
    assert again.weight == mixed.weight
    others = [mixer(samples, labels, epoch=e, batch=b).weight for e, b in ((2, 4), (3, 3), (3, 2))]
    others.append(Mixer((Operation(name, 1.0),), 8)(samples, labels, epoch=2, batch=3).weight)
    assert len({mixed.weight, *others}) == 5


@pytest.mark.parametrize("amount", [0.2, 1.0, 4.0])
def test_shares_are_beta_distributed(amount: float) -> None:
    mixer, samples = Mixer((Operation("mixup", amount),), 0), torch.zeros(2, 1, 1, 1)
    weights = [mixer(samples, torch.zeros(2), epoch=1, batch=batch).weight for batch in range(3000)]
    variance = 1 / (4 * (2 * amount + 1))
    assert np.mean(weights) == pytest.approx(0.5, abs=4 * (variance / 3000) ** 0.5)
    assert np.var(weights) == pytest.approx(variance, rel=0.1)
    kurtosis = 3 - 6 / (2 * amount + 3)
    assert np.mean((np.array(weights) - 0.5) ** 4) / variance**2 == pytest.approx(kurtosis, rel=0.15)


def test_the_dominant_label_has_the_larger_share() -> None:
    labels, mixed_labels = torch.tensor([0, 1]), torch.tensor([2, 3])
    samples = torch.zeros(2, 1, 1, 1)
    assert TrainingBatch(samples, labels, mixed_labels, 0.5).dominant is labels
    assert TrainingBatch(samples, labels, mixed_labels, 0.49).dominant is mixed_labels
