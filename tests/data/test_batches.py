"""Batches: bounds, order, normalization; augmentation as a function of seed, epoch and index; mixing against loops."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dlnotes_cli.data import batches as batches_module
from dlnotes_cli.data.batches import (
    Augmenter,
    Mixer,
    Normalizer,
    TrainingBatch,
    balanced_order,
    batch_bounds,
    cutmix,
    epoch_order,
    mixup,
    splits_on_device,
)
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment_parser import Operation
from dlnotes_cli.data.preprocessing import Column, ImagePreprocessing, TablePreprocessing

CPU, META = torch.device("cpu"), torch.device("meta")


@given(samples=st.integers(1, 3000), batch_size=st.integers(1, 400))
def test_batches_cover_every_sample_once_and_none_has_a_single_sample(samples: int, batch_size: int) -> None:
    bounds = batch_bounds(samples, batch_size)
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(samples))
    sizes = [stop - start for start, stop in bounds]
    assert set(sizes[:-1]) <= {batch_size}
    assert sizes[-1] <= batch_size + 1
    assert min(sizes) > 1 or batch_size == 1 or samples == 1


@given(
    indices=st.lists(st.integers(0, 10**9), max_size=60, unique=True), seed=st.integers(0, 2**53),
    epoch=st.integers(1, 10**6), noise=st.integers(0, 99),
)  # fmt: skip
def test_an_epoch_order_is_a_permutation_that_depends_on_seed_and_epoch_alone(
    indices: list[int], seed: int, epoch: int, noise: int
) -> None:
    original, many = torch.tensor(indices, dtype=torch.int64), torch.arange(50)
    order = epoch_order(original, seed, epoch)
    torch.manual_seed(noise)
    assert epoch_order(original, seed, epoch).equal(order)
    assert sorted(order.tolist()) == sorted(indices)
    assert original.tolist() == indices
    for others in ((seed, epoch + 1), (seed + 1, epoch)):
        assert not epoch_order(many, seed, epoch).equal(epoch_order(many, *others))


@given(st.integers(2, 5), st.integers(0, 2**31), st.integers(1, 50))
def test_a_balanced_order_draws_classes_equally_often(classes: int, seed: int, epoch: int) -> None:
    sizes = torch.tensor([4 ** (i + 1) for i in range(classes)])
    labels = torch.repeat_interleave(torch.arange(classes), sizes)[torch.randperm(int(sizes.sum()))]
    indices = torch.randperm(10 * len(labels))[: len(labels)]
    order = balanced_order(indices, labels, seed, epoch)
    assert order.equal(balanced_order(indices, labels, seed, epoch))
    assert set(order.tolist()) <= set(indices.tolist())
    label_of = dict(zip(indices.tolist(), labels.tolist(), strict=True))
    drawn = np.array([label_of[i] for i in order.tolist()])
    expected = len(labels) / classes
    assert np.bincount(drawn, minlength=classes) == pytest.approx(expected, abs=6 * expected**0.5)


def test_pixels_are_normalized_per_channel_in_images_of_any_size_and_tables_are_not() -> None:
    mean, std = (0.49139968, 0.48215841, 0.44653091), (0.24703223, 0.24348513, 0.26158784)
    center, scale = (torch.tensor(values).double().view(3, 1, 1) for values in (mean, std))
    normalizer = Normalizer(ImagePreprocessing(3, 4, 5, "crop", mean, std), CPU)
    for height, width in ((4, 5), (1, 1), (7, 2), (4, 5)):
        samples = torch.randint(0, 256, (9, 3, height, width), dtype=torch.uint8)
        for pixels in (samples, samples.float()):
            scaled = normalizer(pixels)
            assert scaled.dtype == torch.float32
            torch.testing.assert_close(scaled.double(), (samples / 255 - center) / scale, rtol=1e-6, atol=1e-6)
    rows = torch.randn(3, 2)
    assert Normalizer(TablePreprocessing("t", (Column("a"), Column("b"))), CPU)(rows) is rows


def small_set() -> DataSet:
    samples = np.arange(24, dtype=np.uint8).reshape(6, 1, 2, 2)
    splits = {"train": np.array([0, 2, 3, 5]), "val": np.array([1, 4])}
    preprocessing = ImagePreprocessing(1, 2, 2, "crop", (0.0,), (1.0,))
    return DataSet("small", samples, np.arange(6), tuple("abcdef"), splits, preprocessing=preprocessing)


def test_splits_share_the_memory_of_the_data_set_and_yield_samples_with_their_labels() -> None:
    dataset = small_set()
    splits = splits_on_device(dataset, CPU)
    assert list(splits) == ["train", "val"]
    for split in splits.values():
        assert split.samples.data_ptr() == dataset.samples.ctypes.data
        assert split.labels.data_ptr() == dataset.labels.ctypes.data
    for batch_size in (1, 3, 100):
        batches = list(splits["train"].in_order(batch_size))
        assert max(len(labels) for _, labels in batches) <= batch_size
        assert torch.cat([labels for _, labels in batches]).tolist() == [0, 2, 3, 5]
        assert all(samples[:, 0, 0, 0].tolist() == (labels * 4).tolist() for samples, labels in batches)


def test_samples_that_do_not_fit_stay_in_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(batches_module, "fits_on_device", lambda nbytes, _device: nbytes < 24)
    dataset = small_set()
    dataset.samples.tofile(tmp_path / "samples")
    mapped = np.memmap(tmp_path / "samples", np.uint8, "r", shape=dataset.samples.shape)
    split = splits_on_device(replace(dataset, samples=mapped), META)["train"]
    assert "the data (24 B) does not fit into the free memory of meta; each batch is copied" in capsys.readouterr().err
    assert split.samples.data_ptr() == mapped.ctypes.data
    assert split.labels.device == split.indices.device == META


# --- augmentation ------------------------------------------------------------------------------------------------

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
    before, augmenter = samples.clone(), Augmenter((operation,), seed)
    whole = augmenter(samples, torch.arange(8), 2)
    assert samples.equal(before)
    assert whole.shape == samples.shape
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 255.01
    rounding = 1.0 if whole.dtype == torch.uint8 else 0.02  # a value may round otherwise
    for indices in (torch.tensor(order[:cut]), torch.tensor(order[cut:])):
        part = augmenter(samples[indices], indices, 2).float()
        atol = 0.0 if operation in EXACT else rounding
        torch.testing.assert_close(part, whole[indices].float(), rtol=0, atol=atol)


@EACH
def test_variants_differ_by_epoch_seed_image_and_position(operation: Operation) -> None:
    samples, indices = images(1, (3, 16, 16)).expand(40, -1, -1, -1), torch.arange(40)
    base = Augmenter((operation,), 0)(samples, indices, 1)
    assert base.equal(Augmenter((operation,), 0)(samples, indices, 1))
    assert not bool((base == base[0]).all())
    for operations, seed, start, epoch in (
        ((operation,), 0, 0, 2), ((operation,), 1, 0, 1), ((operation,), 0, 64, 1),
        ((Operation("erase", 0.0), operation), 0, 0, 1),
    ):  # fmt: skip
        assert not base.equal(Augmenter(operations, seed)(samples, indices + start, epoch))


@EACH
def test_no_operation_waits_for_values_of_the_device(operation: Operation) -> None:
    """On the meta device, which has no values, reading one on the host is an error."""
    samples, indices = torch.empty(5, 3, 9, 11, dtype=torch.uint8, device=META), torch.arange(5, device=META)
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
    plain = Mixer((Operation("flip"),), 7)(samples, labels, epoch=2, batch=3)
    assert plain.samples is samples
    assert plain.labels is plain.dominant is labels
    assert (plain.mixed_labels, plain.weight) == (None, 1)


@pytest.mark.parametrize("amount", [0.2, 4.0])
def test_shares_are_beta_distributed(amount: float) -> None:
    mixer, samples = Mixer((Operation("mixup", amount),), 0), torch.zeros(2, 1, 1, 1)
    weights = [mixer(samples, torch.zeros(2), epoch=1, batch=batch).weight for batch in range(3000)]
    variance = 1 / (4 * (2 * amount + 1))
    assert np.mean(weights) == pytest.approx(0.5, abs=4 * (variance / 3000) ** 0.5)
    assert np.var(weights) == pytest.approx(variance, rel=0.1)


def test_the_dominant_label_has_the_larger_share() -> None:
    labels, mixed_labels = torch.tensor([0, 1]), torch.tensor([2, 3])
    samples = torch.zeros(2, 1, 1, 1)
    assert TrainingBatch(samples, labels, mixed_labels, 0.5).dominant is labels
    assert TrainingBatch(samples, labels, mixed_labels, 0.49).dominant is mixed_labels
