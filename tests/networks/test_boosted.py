"""Boosted trees as a network: the answers of scikit-learn, any indices of a file, and export."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from dlnotes_cli.classify.table_models import fit_table_models
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import Column, TablePreprocessing
from dlnotes_cli.networks.boosted import BoostedConfig, BoostedTrees


def drawn(rows: int, columns: int, classes: int, seed: int, *, is_rounded: bool = False) -> DataSet:
    """A table of numbers, with many equal ones if they are rounded; the class depends on products of columns."""
    generator = np.random.default_rng(seed)
    samples = generator.normal(size=(rows, columns)).astype(np.float32)
    samples = np.round(samples, 1) if is_rounded else samples
    scores = samples @ generator.normal(size=(columns, classes)) + (samples**2) @ generator.normal(
        size=(columns, classes)
    )
    labels = scores.argmax(1)
    labels[:classes] = np.arange(classes)
    splits = {"train": np.arange(rows - 30), "val": np.arange(rows - 30, rows), "test": np.arange(rows)}
    preprocessing = TablePreprocessing("y", tuple(Column(f"x{i}") for i in range(columns)))
    names = tuple(f"c{i}" for i in range(classes))
    return DataSet("t", samples, labels, names, splits, preprocessing=preprocessing)


@settings(deadline=None, max_examples=15)
@given(st.integers(60, 300), st.integers(1, 5), st.integers(2, 4), st.integers(0, 2**31), st.booleans(), st.booleans())
def test_the_network_answers_as_scikit_learn(
    rows: int, columns: int, classes: int, seed: int, is_rounded: bool, is_weighted: bool
) -> None:
    dataset = drawn(rows, columns, classes, seed, is_rounded=is_rounded)
    weights = torch.arange(1.0, classes + 1) if is_weighted else None
    (model,) = fit_table_models(dataset, weights, ("boosted",), seed, lambda: None)
    x, labels = dataset.samples[:-30], dataset.labels[:-30]
    sample_weights = None if weights is None else weights.numpy()[labels]
    peer = HistGradientBoostingClassifier(random_state=seed).fit(x, labels, sample_weights)
    edges = np.concatenate([dataset.samples, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))])
    probabilities = model.network(torch.from_numpy(edges)).double().softmax(1).numpy()
    np.testing.assert_allclose(probabilities, peer.predict_proba(edges), atol=2e-5)
    assert model.configuration.accepts((columns,))
    assert not model.configuration.accepts((columns + 1,))


def test_indices_outside_of_the_trees_give_some_answer() -> None:
    config = BoostedConfig(inputs=2, classes=3, trees=6, nodes=30, depth=4)
    network = BoostedTrees(config)
    for name in ("root", "feature", "left", "right"):
        getattr(network, name).random_(-(2**40), 2**40)
    assert network(torch.randn(5, 2)).shape == (5, 3)


@pytest.mark.parametrize(
    "values",
    [{"inputs": 0}, {"classes": 1}, {"trees": 5}, {"trees": 0}, {"nodes": 5}, {"depth": 30}, {"depth": -1},
     {"nodes": 1 << 27}],
)  # fmt: skip
def test_impossible_sizes_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"inputs|nodes|round"):
        replace(BoostedConfig(inputs=2, classes=3, trees=6, nodes=30, depth=4), **values)


def test_parts_of_many_rows_have_the_answer_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    (model,) = fit_table_models(drawn(200, 3, 3, 0), None, ("boosted",), 0, lambda: None)
    rows = torch.randn(50, 3)
    whole = model.network(rows)
    monkeypatch.setattr("dlnotes_cli.networks.boosted._MOST_VALUES", 7 * model.configuration.trees)
    torch.testing.assert_close(model.network(rows), whole, rtol=0, atol=0)
