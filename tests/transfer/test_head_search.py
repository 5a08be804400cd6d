"""Choosing a weight decay: nothing that is held out is learned from."""

import numpy as np
import pytest
import torch

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import Runtime
from dlnotes_cli.transfer.head_fit import HeadOptions
from dlnotes_cli.transfer.head_search import HeadSearch, Solved

CPU = Runtime(torch.device("cpu"), "fp32", 1)
COUNT = 80


def searched(*, views: int = 0, folds: int | None = None, hidden: tuple[int, ...] = ()) -> tuple[Solved, DataSet]:
    """Features without meaning, more than samples: what is learned by heart is right, all else is chance."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(COUNT, 300)).astype(np.float32)
    labels = generator.permutation(np.arange(COUNT) % 2)
    parts = {"train": np.arange(0, COUNT, 2), "val": np.arange(1, COUNT, 2)}
    form = ImagePreprocessing(3, 8, 8, "crop", (0.0,) * 3, (1.0,) * 3)
    dataset = DataSet("noise", features, labels, ("a", "b"), parts, form, "")
    others = [features[parts["train"]] + 0.01 * generator.normal(size=(COUNT // 2, 300)) for _ in range(views)]
    search = HeadSearch(
        dataset, [view.astype(np.float32) for view in others], HeadOptions(2, hidden), (0.1, 0.01), CPU, lambda: None
    )
    return (search.in_folds(folds, 0) if folds else search.by_validation()), dataset


@pytest.mark.parametrize("views", [0, 2])
@pytest.mark.parametrize("folds", [None, 4])
@pytest.mark.parametrize("hidden", [(), (8,)])
def test_what_is_held_out_is_guessed_and_the_rest_known_by_heart(
    views: int, folds: int | None, hidden: tuple[int, ...]
) -> None:
    solved, _ = searched(views=views, folds=folds, hidden=hidden)
    chosen = solved.history[solved.best - 1]
    assert chosen["train"]["accuracy"] == 1.0
    assert 0.25 < chosen["validation"]["accuracy"] < 0.75
    assert chosen["validation"]["samples"] == (COUNT if folds else COUNT // 2)


def test_after_folds_the_head_has_learned_everything() -> None:
    solved, dataset = searched(folds=4)
    predicted = solved.head(torch.from_numpy(np.asarray(dataset.samples))).argmax(1).numpy()
    assert (predicted == dataset.labels).all()
    assert solved.folds is not None
    validation = solved.history[solved.best - 1]["validation"]["accuracy"]
    assert solved.folds["mean"] == pytest.approx(validation, abs=0.02)
