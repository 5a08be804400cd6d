"""Loading the data that `--data` names, for training and for a trained model."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import COLORS, make_images, make_table
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dlnotes_cli.classify.evaluation_options import EvaluateConfig
from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.classify.recipes import MLP_BEST
from dlnotes_cli.data import load
from dlnotes_cli.data.dataset import DataSet, LabeledSamples, SplitRule
from dlnotes_cli.data.folder import DecodeSettings, FeatureExtractor
from dlnotes_cli.data.load import (
    load_for_model,
    load_preprocessed,
    load_training_data,
    load_view,
    named_images,
    pixel_statistics,
)
from dlnotes_cli.data.named_sets import load_named
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TablePreprocessing
from dlnotes_cli.shell.errors import InputError

OPTIONS = EvaluateConfig(model=Path("none"), offline=True)


def options(data: Path | str, **more: Any) -> TrainMlpConfig:
    known: dict[str, Any] = {"val_split": MLP_BEST.val_split, "normalize": "standard", "offline": True}
    return TrainMlpConfig(**{"data": str(data), **known, **more})


def rule(given: TrainMlpConfig, seed: int = 0) -> SplitRule:
    return SplitRule(given.val_split or MLP_BEST.val_split, given.test_split, seed, given.limit)


def loaded(data: Path | str, *, seed: int = 0, **more: Any) -> DataSet:
    given = options(data, **more)
    return load_training_data(given, rule(given, seed), given.normalize or "standard", threads=2)


# --- statistics --------------------------------------------------------------------------------------------------

IMAGES = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 5), st.sampled_from([1, 3]), st.integers(1, 5), st.integers(1, 5))
)


@given(samples=IMAGES, data=st.data())
def test_pixel_statistics_are_exact(samples: NDArray[np.uint8], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(samples) - 1), min_size=1, max_size=5, unique=True))
    mean, std = pixel_statistics(samples, np.array(chosen))
    scaled = samples[chosen].astype(np.float64) / 255
    np.testing.assert_allclose(mean, scaled.mean(axis=(0, 2, 3)), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(std, np.maximum(scaled.std(axis=(0, 2, 3)), 1 / 255), rtol=1e-12)


# --- training: named sets ----------------------------------------------------------------------------------------


def test_digits_are_split_in_three() -> None:
    dataset = loaded("digits")
    assert dataset.counts == {"train": 1294, "val": 144, "test": 359}
    assert dataset.samples.shape == (1797, 1, 8, 8)
    assert dataset.classes == tuple("0123456789")
    assert isinstance(dataset.preprocessing, ImagePreprocessing)
    train = dataset.samples[dataset.splits["train"]].astype(np.float64) / 255
    assert dataset.preprocessing.mean == pytest.approx((train.mean(),))
    assert dataset.preprocessing.std == pytest.approx((train.std(),))
    unit = loaded("digits", seed=5, normalize="unit")
    assert unit.fingerprint == dataset.fingerprint
    assert unit.preprocessing == replace(dataset.preprocessing, mean=(0.0,), std=(1.0,))


def test_a_limit_applies_to_the_train_split_alone_and_after_the_statistics() -> None:
    whole, few = loaded("digits"), loaded("digits", limit=100)
    assert few.counts == {"train": 100, "val": 144, "test": 359}
    assert set(few.splits["train"]) <= set(whole.splits["train"])
    assert few.preprocessing == whole.preprocessing


# --- training: folders -------------------------------------------------------------------------------------------


def test_split_folders_stay_separate_and_need_every_class_for_training(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "test")):
        make_images(tmp_path / split, count=3, seed=seed)
    dataset = loaded(tmp_path, val_split=0.34, size=10, color="gray", resize="letterbox")
    assert dataset.counts == {"train": 6, "val": 3, "test": 9}
    assert {Path(dataset.files[i]).parts[-3] for i in dataset.splits["test"]} == {"test"}
    assert isinstance(dataset.preprocessing, ImagePreprocessing)
    assert (dataset.preprocessing.shape, dataset.preprocessing.resize) == ((1, 10, 10), "letterbox")
    assert (dataset.samples[:, :, :, [0, 9]] == 0).all()  # bars left and right of portrait images
    shutil.rmtree(tmp_path / "train" / "green")
    with pytest.raises(InputError, match="--data: no training sample of class green; add samples, or lower"):
        loaded(tmp_path, val_split=0.34)


# --- training: tables --------------------------------------------------------------------------------------------


def test_a_table_is_split_and_standardized_over_its_training_rows(tmp_path: Path) -> None:
    path = make_table(tmp_path / "t.csv", rows=100)
    dataset = loaded(path, target="label")
    assert dataset.counts == {"train": 72, "val": 8, "test": 20}
    assert (dataset.samples.dtype.name, dataset.samples.shape) == ("float32", (100, 4))
    train = dataset.samples[dataset.splits["train"]]
    np.testing.assert_allclose(train[:, :2].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train[:, :2].std(axis=0), 1, atol=1e-6)
    np.testing.assert_array_equal(dataset.samples[:, 2:].sum(axis=1), 1)
    assert dataset.classes == ("no", "yes")
    assert dataset.files[0] == f"{path}:2"
    assert isinstance(dataset.preprocessing, TablePreprocessing)
    assert dataset.preprocessing.shape == (4,)


# --- for a model -------------------------------------------------------------------------------------------------

RGB = ImagePreprocessing(3, 6, 5, "squash", (0.5,) * 3, (0.5,) * 3)
GRAY_8 = ImagePreprocessing(1, 8, 8, "crop", (0.5,), (0.5,))


def test_images_are_decoded_to_the_shape_of_the_model_from_a_moved_folder(tmp_path: Path) -> None:
    trained = loaded(make_images(tmp_path / "p"))
    (tmp_path / "p").rename(tmp_path / "q")
    dataset = load_for_model(str(tmp_path / "q"), OPTIONS, RGB, tuple(COLORS), threads=2)
    assert dataset.samples.shape == (36, 3, 6, 5)
    assert dataset.preprocessing is RGB
    assert list(dataset.splits) == ["all"]
    assert dataset.fingerprint == trained.fingerprint
    more = load_for_model(str(tmp_path / "q"), OPTIONS, RGB, ("azure", *COLORS), threads=2)
    np.testing.assert_array_equal(more.labels, trained.labels + 1)  # positions in the classes of the model


def test_classes_that_the_model_lacks_are_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "read_folder", _never)
    with pytest.raises(InputError, match="--data: the model does not have the class 'green'; its classes are blue"):
        load_for_model(str(make_images(tmp_path / "p")), OPTIONS, RGB, ("blue", "red"), threads=1)


def test_a_named_set_that_does_not_fit_the_model_is_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "load_named", _never)
    monkeypatch.setattr(load, "locate", lambda *_: None)
    small = replace(RGB, height=32, width=32)
    with pytest.raises(InputError, match="--data: the model does not have the class 'airplane'"):
        load_for_model("cifar10", OPTIONS, small, tuple("0123456789"), threads=1)
    with pytest.raises(InputError, match="--data: cifar10 has images of 3x32x32, but the model needs 3x6x5"):
        load_for_model("cifar10", OPTIONS, RGB, tuple("0123456789"), threads=1)


def _never(*_: object, **__: object) -> None:
    raise AssertionError("samples were read")


def test_data_for_a_model_is_preprocessed_as_in_training(tmp_path: Path) -> None:
    digits = load_for_model("digits", OPTIONS, GRAY_8, tuple("0123456789"), threads=1)
    assert (digits.counts, digits.fingerprint) == ({"all": 1797}, loaded("digits").fingerprint)
    path = make_table(tmp_path / "t.csv")
    trained = loaded(path, target="label")
    again = load_for_model(str(path), OPTIONS, trained.preprocessing, ("no", "yes"), threads=1)
    np.testing.assert_array_equal(again.samples, trained.samples)
    np.testing.assert_array_equal(again.labels, trained.labels)
    assert (again.classes, again.fingerprint, again.files) == (trained.classes, trained.fingerprint, trained.files)
    assert again.counts == {"all": 120}


# --- features ----------------------------------------------------------------------------------------------------


def test_a_named_set_is_read_once_for_features_and_views(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []

    def count(name: str, **places: Any) -> LabeledSamples:
        reads.append(name)
        return load_named(name, **places)

    def first_pixel_and_seed(pixels: NDArray[np.uint8], seeds: Sequence[int]) -> NDArray[np.float32]:
        assert pixels.shape[1:] == (3, 8, 8)
        return np.stack([pixels[:, 2, 3, 4], np.array(seeds)], axis=1).astype(np.float32)

    monkeypatch.setattr(load, "load_named", count)
    extractor = FeatureExtractor("test", 2, 16, first_pixel_and_seed)
    settings = DecodeSettings(1, 10**6)
    digits = options("digits", limit=100)
    dataset = load_preprocessed(digits, RGB, rule(digits), settings, extractor)
    view = load_view(digits, dataset, RGB, settings, extractor)
    train = dataset.splits["train"]
    images = named_images(dataset, train)
    assert reads == ["digits"]
    assert images.shape == (100, 3, 8, 8)
    np.testing.assert_array_equal(view[:, 0], images[:, 0, 3, 4])
    np.testing.assert_array_equal(view[:, 1], np.arange(100))
    np.testing.assert_array_equal(dataset.samples[train, 0], view[:, 0])
