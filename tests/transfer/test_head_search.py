"""The choice of a weight decay never uses held-out samples for training."""

import numpy as np
import pytest
import torch

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.training.head_fit import HeadOptions
from dlnotes_cli.transfer.head_search import FittedHead, HeadSearch

COUNT = 80


def search_head(
    *, views: int = 0, folds: int | None = None, hidden: tuple[int, ...] = ()
) -> tuple[FittedHead, DataSet]:
    """A head for more random features than samples: its training accuracy is 1, its validation accuracy chance."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(COUNT, 300)).astype(np.float32)
    labels = generator.permutation(np.arange(COUNT) % 2)
    splits = {"train": np.arange(0, COUNT, 2), "val": np.arange(1, COUNT, 2)}
    preprocessing = ImagePreprocessing(3, 8, 8, "crop", (0.0,) * 3, (1.0,) * 3)
    dataset = DataSet("noise", features, labels, ("a", "b"), splits, preprocessing=preprocessing)
    others = [features[splits["train"]] + 0.01 * generator.normal(size=(COUNT // 2, 300)) for _ in range(views)]
    search = HeadSearch(
        dataset,
        [view.astype(np.float32) for view in others],
        HeadOptions(2, hidden),
        (0.1, 0.01),
        torch.device("cpu"),
        lambda: None,
    )
    return search.run(folds, 0), dataset


@pytest.mark.parametrize(("views", "folds", "hidden"), [(0, None, ()), (2, 4, ()), (2, None, (8,))])
def test_random_features_classify_training_samples_exactly_and_held_out_samples_by_chance(
    views: int, folds: int | None, hidden: tuple[int, ...]
) -> None:
    fitted, _ = search_head(views=views, folds=folds, hidden=hidden)
    chosen = fitted.history[fitted.best_index]
    assert chosen.train.accuracy == 1.0
    assert 0.25 < chosen.validation.accuracy < 0.75
    assert chosen.validation.samples == (COUNT if folds else COUNT // 2)


def test_after_cross_validation_the_head_is_fitted_to_all_samples() -> None:
    fitted, dataset = search_head(folds=4)
    predicted = fitted.head(torch.from_numpy(np.asarray(dataset.samples))).argmax(1).numpy()
    assert (predicted == dataset.labels).all()
    assert fitted.folds is not None
    validation = fitted.history[fitted.best_index].validation.accuracy
    assert fitted.folds.mean == pytest.approx(validation, abs=0.02)
