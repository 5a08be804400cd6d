"""Batches: bounds, order and normalization."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data import batches as batches_module
from dlnotes_cli.data.batches import Normalizer, batch_bounds, epoch_order, splits_on_device
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import Column, ImagePreprocessing, TablePreprocessing

CPU, META = torch.device("cpu"), torch.device("meta")


@given(samples=st.integers(1, 3000), batch_size=st.integers(1, 400))
def test_batches_cover_every_sample_once_and_none_has_a_single_sample(samples: int, batch_size: int) -> None:
    bounds = batch_bounds(samples, batch_size)
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(samples))
    sizes = [stop - start for start, stop in bounds]
    assert set(sizes[:-1]) <= {batch_size}
    assert sizes[-1] <= batch_size + 1
    if batch_size > 1 and samples > 1:
        assert min(sizes) > 1


@pytest.mark.parametrize(
    ("samples", "batch_size", "sizes"),
    [(65, 64, [65]), (66, 64, [64, 2]), (129, 64, [64, 65]), (5, 64, [5]), (3, 1, [1] * 3)],
)
def test_a_last_batch_of_one_is_merged_into_the_previous_one(samples: int, batch_size: int, sizes: list[int]) -> None:
    assert [stop - start for start, stop in batch_bounds(samples, batch_size)] == sizes


@given(
    indices=st.lists(st.integers(0, 10**9), max_size=60, unique=True),
    seed=st.integers(0, 2**53),
    epoch=st.integers(1, 10**6),
    noise=st.integers(0, 99),
)
def test_an_epoch_order_is_a_permutation_that_depends_on_seed_and_epoch_alone(
    indices: list[int], seed: int, epoch: int, noise: int
) -> None:
    original = torch.tensor(indices, dtype=torch.int64)
    order = epoch_order(original, seed, epoch)
    assert sorted(order.tolist()) == sorted(indices)
    torch.manual_seed(noise)
    torch.rand(noise)
    assert epoch_order(original, seed, epoch).equal(order)
    assert not epoch_order(torch.arange(50), seed, epoch).equal(epoch_order(torch.arange(50), seed, epoch + 1))
    assert not epoch_order(torch.arange(50), seed, epoch).equal(epoch_order(torch.arange(50), seed + 1, epoch))
    assert original.tolist() == indices


def test_pixels_are_normalized_per_channel_in_images_of_any_size() -> None:
    mean, std = (0.49139968, 0.48215841, 0.44653091), (0.24703223, 0.24348513, 0.26158784)
    center, scale = (torch.tensor(values).double().view(3, 1, 1) for values in (mean, std))
    normalizer = Normalizer(ImagePreprocessing(3, 4, 5, "crop", mean, std), CPU)
    for height, width in ((4, 5), (1, 1), (7, 2), (4, 5)):
        samples = torch.randint(0, 256, (9, 3, height, width), dtype=torch.uint8)
        for pixels in (samples, samples.float()):
            scaled = normalizer(pixels)
            assert scaled.dtype == torch.float32
            torch.testing.assert_close(scaled.double(), (samples / 255 - center) / scale, rtol=1e-6, atol=1e-6)


def test_a_table_is_not_changed() -> None:
    rows = torch.randn(3, 2)
    assert Normalizer(TablePreprocessing("t", (Column("a"), Column("b"))), CPU)(rows) is rows


def small_set() -> DataSet:
    samples = np.arange(24, dtype=np.uint8).reshape(6, 1, 2, 2)
    splits = {"train": np.array([0, 2, 3, 5]), "val": np.array([1, 4])}
    preprocessing = ImagePreprocessing(1, 2, 2, "crop", (0.0,), (1.0,))
    return DataSet("small", samples, np.arange(6), tuple("abcdef"), splits, preprocessing=preprocessing)


def test_splits_share_the_memory_of_the_data_set() -> None:
    dataset = small_set()
    splits = splits_on_device(dataset, CPU)
    assert list(splits) == ["train", "val"]
    for name, split in splits.items():
        assert split.samples.data_ptr() == dataset.samples.ctypes.data
        assert split.labels.data_ptr() == dataset.labels.ctypes.data
        assert len(split) == len(dataset.splits[name])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_a_split_in_order_yields_its_samples_with_their_labels(batch_size: int) -> None:
    split = splits_on_device(small_set(), CPU)["train"]
    batches = list(split.in_order(batch_size))
    assert max(len(labels) for _, labels in batches) <= batch_size
    assert torch.cat([labels for _, labels in batches]).tolist() == [0, 2, 3, 5]
    for samples, labels in batches:
        assert samples[:, 0, 0, 0].tolist() == (labels * 4).tolist()
        assert samples.dtype == torch.uint8


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
