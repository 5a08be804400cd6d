"""Mixup and CutMix against explicit loops, and the distribution of the weight."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.images.augment_parser import Operation
from dlnotes_cli.data.images.mix import Mixer, TrainingBatch, cutmix, mixup

shapes = st.tuples(st.integers(1, 7), st.sampled_from([1, 3]), st.integers(1, 13), st.integers(1, 13))


def images(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


@given(shape=shapes, weight=st.floats(0, 1))
def test_mixup_against_a_loop(shape: tuple[int, ...], weight: float) -> None:
    samples = images(shape)
    mixed = mixup(samples, weight)
    assert mixed.dtype == torch.float32
    for i in range(shape[0]):
        expected = weight * samples[i].double() + (1 - weight) * samples[i - 1].double()
        torch.testing.assert_close(mixed[i].double(), expected, rtol=0, atol=1e-3)


@given(shape=shapes, weight=st.floats(0, 1), center=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)))
def test_cutmix_against_a_loop(shape: tuple[int, ...], weight: float, center: tuple[float, float]) -> None:
    """Yun et al. 2019, appendix A, algorithm 1: box sides are sqrt(1 - weight) of the image's, clipped."""
    samples = images(shape)
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
    samples, labels = images((4, 1, 3, 3)), torch.arange(4)
    mixed = Mixer((Operation("flip"),), 0)(samples, labels, epoch=1, batch=0)
    assert mixed.samples is samples
    assert mixed.labels is mixed.dominant is labels
    assert mixed.mixed_labels is None
    assert mixed.weight == 1


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_weight_and_mixed_labels_are_functions_of_seed_epoch_and_batch(name: str) -> None:
    samples, labels = images((5, 3, 16, 16)), torch.tensor([3, 1, 4, 1, 5])
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


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_batch_of_one_is_mixed_with_itself(name: str) -> None:
    samples, labels = images((1, 1, 5, 4)), torch.tensor([2])
    mixed = Mixer((Operation(name, 1.0),), 0)(samples, labels, epoch=1, batch=0)
    torch.testing.assert_close(mixed.samples.float(), samples.float(), rtol=0, atol=1e-3)
    assert mixed.mixed_labels is not None
    assert mixed.mixed_labels.tolist() == [2]
