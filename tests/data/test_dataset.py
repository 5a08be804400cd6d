"""Splits: stratified partitions that depend on seed and samples alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import SplitRule, complete_splits, hold_out, limited, stratified_folds
from dlnotes_cli.shell.errors import InputError

Ints = NDArray[np.int64]
LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=120).map(lambda values: np.array(values, np.int64))
SEEDS = st.integers(0, 2**53)


def counts(labels: Ints, indices: Ints) -> Ints:
    return np.bincount(labels[indices], minlength=7)


@given(labels=LABELS, fraction=st.floats(0.01, 0.99), seed=SEEDS, shuffle=st.permutations(range(120)))
def test_a_held_out_split_is_a_stratified_function_of_the_seed(
    labels: Ints, fraction: float, seed: int, shuffle: list[int]
) -> None:
    everything = np.arange(len(labels))
    remaining, held_out = hold_out(everything, labels, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([remaining, held_out])), everything)
    assert len(held_out) == round(len(labels) * fraction)
    assert (np.abs(counts(labels, held_out) - np.bincount(labels, minlength=7) * fraction) < 1).all()
    shuffled = np.array([i for i in shuffle if i < len(labels)])
    for split, again in zip((remaining, held_out), hold_out(shuffled, labels, fraction, seed), strict=True):
        np.testing.assert_array_equal(split, again)
        assert (np.diff(split) > 0).all()
    remaining, spared = hold_out(everything, labels, fraction, seed, spare_single=True)
    np.testing.assert_array_equal(np.sort(np.concatenate([remaining, spared])), everything)
    single = np.flatnonzero(np.bincount(labels, minlength=7) == 1)
    assert set(single) <= set(labels[remaining])
    several = np.flatnonzero(~np.isin(labels, single))
    if len(several):
        assert abs(len(spared) - len(hold_out(several, labels, fraction, seed)[1])) <= len(single)


def test_splits_differ_by_seed() -> None:
    labels = np.repeat(np.arange(3), 40)
    assert (
        hold_out(np.arange(120), labels, 0.25, 0)[1].tolist() != hold_out(np.arange(120), labels, 0.25, 1)[1].tolist()
    )


def complete(splits: dict[str, Ints], labels: Ints, val: float = 0.2, test: float = 0.5) -> dict[str, Ints]:
    return complete_splits(splits, labels, SplitRule(val, test, 3))


def test_missing_splits_are_drawn_and_named_ones_kept() -> None:
    labels = np.tile(np.arange(2), 20)
    drawn = complete({"all": np.arange(40)}, labels, 0.2, 0.25)
    assert {name: len(indices) for name, indices in drawn.items()} == {"train": 24, "val": 6, "test": 10}
    np.testing.assert_array_equal(np.sort(np.concatenate(list(drawn.values()))), np.arange(40))
    rest = np.setdiff1d(np.arange(40), drawn["test"])
    np.testing.assert_array_equal(drawn["val"], hold_out(rest, labels, 0.2, 3 + 1)[1])  # by another seed than the test
    train, val, test = np.arange(20), np.arange(20, 30), np.arange(30, 40)
    whole = complete({"test": test, "val": val, "train": train}, labels)
    assert list(whole) == ["train", "val", "test"]
    assert [whole[name] is indices for name, indices in (("train", train), ("val", val), ("test", test))] == [True] * 3
    assert list(complete({"train": train, "val": val}, labels)) == ["train", "val"]
    completed = complete({"train": train, "test": test}, labels)
    assert completed["test"] is test
    assert [len(completed[name]) for name in ("train", "val")] == [16, 4]
    np.testing.assert_array_equal(np.sort(np.concatenate([completed["train"], completed["val"]])), train)
    assert len(complete({"train": train, "test": test}, labels, 0)["val"]) == 0


ALL, HALVES = {"all": np.arange(10)}, {"train": np.arange(5), "val": np.arange(5, 10)}


@pytest.mark.parametrize(
    ("splits", "val", "test", "line"),
    [
        (ALL, 0.2, 0.01, r"--test-split: leaves no test samples \(10 in all\); raise --test-split or add"),
        (ALL, 0.2, 0.99, r"--test-split: leaves no training samples \(10 in all\); lower --test-split"),
        (ALL, 0.01, 0.5, r"--val-split: leaves no validation samples \(10 in all\); raise --val-split"),
        (ALL, 0.99, 0.5, r"--val-split: leaves no training samples \(10 in all\); lower --val-split"),
        (HALVES, 0, 0.5, r"--val-split: is 0, but the data has a validation split; drop --val-split"),
        ({"train": np.arange(10)}, 0, 0.5, r"--val-split: 0 leaves no sample to measure, .*; raise it"),
        ({"val": np.arange(5), "test": np.arange(5, 10)}, 0.2, 0.5, "--data: has only the splits val and test; add a"),
    ],
)
def test_splits_that_leave_nothing_are_refused(splits: dict[str, Ints], val: float, test: float, line: str) -> None:
    with pytest.raises(InputError, match=line):
        complete(splits, np.tile(np.arange(2), 5), val, test)


@given(labels=LABELS, seed=SEEDS, limit=st.integers(1, 125))
def test_a_limit_is_exact_and_stratified(labels: Ints, seed: int, limit: int) -> None:
    indices = np.arange(len(labels))
    few = limited(indices, labels, limit, seed)
    assert limited(indices, labels, None, seed) is indices
    assert len(np.unique(few)) == len(few) == min(limit, len(labels))
    fraction = min(1.0, limit / len(labels))
    assert (np.abs(counts(labels, few) - np.bincount(labels, minlength=7) * fraction) < 1).all()


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
