"""Splits: stratified partitions that depend on seed and samples alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dlnotes_cli.data.splits import SplitRule, complete_splits, hold_out, limited, stratified_folds
from dlnotes_cli.shell.errors import InputError

Ints = NDArray[np.int64]


def labels_of(at_least: int) -> st.SearchStrategy[Ints]:
    lists = st.lists(st.integers(0, 6), min_size=at_least, max_size=120)
    return lists.map(lambda values: np.array(values, np.int64))


LABELS = labels_of(at_least=1)
FRACTIONS = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**53)


def counts(labels: Ints, indices: Ints) -> Ints:
    return np.bincount(labels[indices], minlength=7)


@given(labels=LABELS, fraction=FRACTIONS, seed=SEEDS)
def test_a_held_out_split_is_stratified_and_complete(labels: Ints, fraction: float, seed: int) -> None:
    remaining, held_out = hold_out(np.arange(len(labels)), labels, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([remaining, held_out])), np.arange(len(labels)))
    assert (np.diff(remaining) > 0).all()
    assert (np.diff(held_out) > 0).all()
    assert len(held_out) == round(len(labels) * fraction)
    assert (np.abs(counts(labels, held_out) - np.bincount(labels, minlength=7) * fraction) < 1).all()


@given(labels=LABELS, fraction=FRACTIONS, seed=SEEDS, shuffle=st.randoms(use_true_random=False))
def test_a_split_does_not_depend_on_the_order_of_its_indices(
    labels: Ints, fraction: float, seed: int, shuffle: np.random.Generator
) -> None:
    shuffled = list(range(len(labels)))
    shuffle.shuffle(shuffled)
    split, again = (
        hold_out(indices, labels, fraction, seed) for indices in (np.arange(len(labels)), np.array(shuffled))
    )
    for indices, same in zip(split, again, strict=True):
        np.testing.assert_array_equal(indices, same)


def test_splits_differ_by_seed_and_repeat() -> None:
    labels = np.repeat(np.arange(3), 40)
    held = [hold_out(np.arange(120), labels, 0.25, seed)[1].tolist() for seed in (0, 1, 0)]
    assert held[0] == held[2]
    assert held[0] != held[1]


@given(labels=labels_of(at_least=20), seed=SEEDS)
def test_data_without_splits_is_split_in_three(labels: Ints, seed: int) -> None:
    everything = {"all": np.arange(len(labels))}
    splits = complete_splits(everything, labels, SplitRule(0.2, 0.25, seed))
    assert list(splits) == ["train", "val", "test"]
    np.testing.assert_array_equal(np.sort(np.concatenate(list(splits.values()))), np.arange(len(labels)))
    assert len(splits["test"]) == round(len(labels) * 0.25)
    assert len(splits["val"]) == round((len(labels) - len(splits["test"])) * 0.2)


def complete(splits: dict[str, Ints], labels: Ints, val: float = 0.2, test: float = 0.5) -> dict[str, Ints]:
    return complete_splits(splits, labels, SplitRule(val, test, 3))


def test_named_splits_are_not_changed() -> None:
    labels = np.tile(np.arange(2), 20)
    train, val, test = np.arange(20), np.arange(20, 30), np.arange(30, 40)
    whole = complete({"test": test, "val": val, "train": train}, labels)
    assert list(whole) == ["train", "val", "test"]
    assert [whole[name] is indices for name, indices in (("train", train), ("val", val), ("test", test))] == [True] * 3
    assert list(complete({"train": train, "val": val}, labels)) == ["train", "val"]
    completed = complete({"train": train, "test": test}, labels)
    assert completed["test"] is test
    assert [len(completed[name]) for name in ("train", "val")] == [16, 4]
    np.testing.assert_array_equal(np.sort(np.concatenate([completed["train"], completed["val"]])), train)


@pytest.mark.parametrize(
    ("val", "test", "line"),
    [
        (0.2, 0.01, r"--test-split: leaves no test samples \(10 in all\); raise --test-split or add"),
        (0.2, 0.99, r"--test-split: leaves no training samples \(10 in all\)"),
        (0.01, 0.5, r"--val-split: leaves no validation samples \(10 in all\)"),
        (0.99, 0.5, r"--val-split: leaves no training samples \(10 in all\)"),
    ],
)
def test_an_empty_split_is_refused_with_its_option(val: float, test: float, line: str) -> None:
    with pytest.raises(InputError, match=line):
        complete({"all": np.arange(10)}, np.tile(np.arange(2), 5), val, test)


def test_data_without_a_train_split_is_refused() -> None:
    with pytest.raises(InputError, match="--data: has only the splits val and test; add a train split"):
        complete({"val": np.arange(2), "test": np.arange(2, 4)}, np.zeros(4, np.int64))


@given(labels=LABELS, seed=SEEDS, data=st.data())
def test_a_limit_is_exact_and_stratified(labels: Ints, seed: int, data: st.DataObject) -> None:
    indices = np.arange(len(labels))
    limit = data.draw(st.integers(1, len(labels) + 5))
    few = limited(indices, labels, limit, seed)
    assert limited(indices, labels, None, seed) is indices
    assert len(few) == min(limit, len(labels))
    assert len(np.unique(few)) == len(few)
    fraction = min(1.0, limit / len(labels))
    assert (np.abs(counts(labels, few) - np.bincount(labels, minlength=7) * fraction) < 1).all()


@given(labels=LABELS, seed=SEEDS, fraction=st.floats(0.01, 0.99))
def test_the_only_sample_of_a_class_can_be_spared(labels: Ints, seed: int, fraction: float) -> None:
    remaining, held_out = hold_out(np.arange(len(labels)), labels, fraction, seed, spare_single=True)
    assert sorted([*remaining, *held_out]) == list(range(len(labels)))
    single = np.flatnonzero(np.bincount(labels, minlength=7) == 1)
    assert set(single) <= set(labels[remaining])
    several = ~np.isin(labels, single)
    if several.any():
        plain = hold_out(np.flatnonzero(several), labels, fraction, seed)[1]
        assert abs(len(held_out) - len(plain)) <= len(single)


@given(labels=LABELS, seed=SEEDS, count=st.integers(2, 6))
def test_folds_are_a_stratified_partition(labels: Ints, seed: int, count: int) -> None:
    indices = np.arange(len(labels)) * 3
    spread = np.zeros(3 * len(labels), np.int64)
    spread[indices] = labels
    if count > len(labels):
        with pytest.raises(InputError, match=f"--folds: {count} folds of {len(labels)} samples; give at most"):
            stratified_folds(indices, spread, count, seed)
        return
    folds = stratified_folds(indices, spread, count, seed)
    assert sorted(np.concatenate(folds).tolist()) == indices.tolist()
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    by_class = np.array([np.bincount(spread[fold], minlength=7) for fold in folds])
    assert (by_class.max(0) - by_class.min(0) <= 1).all()
