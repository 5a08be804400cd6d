"""Draw train, validation and test splits by seed, stratified by class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.shell.errors import InputError

Indices = NDArray[np.int64]
_SPLIT_NAMES = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class SplitRule:
    """How the samples of a training run are split where the data does not say."""

    val_split: float  # fraction of the training samples
    test_split: float  # fraction of all samples
    seed: int
    limit: int | None = None  # training samples at most


def complete_splits(splits: dict[str, Indices], labels: NDArray[np.int64], rule: SplitRule) -> dict[str, Indices]:
    """Complete the splits that the data names to train, val and, if there is one, test.

    Data without splits is split into all three. With train and test, val is drawn from train. With train and val,
    there is no test split. With a `val_split` of 0, val is empty. Raises InputError if another split would be empty, or
    if the data has a validation split although none is wanted.
    """
    named = dict(splits)
    if "all" in named:
        named["train"], named["test"] = hold_out(named["all"], labels, rule.test_split, rule.seed, spare_single=True)
        _check_filled(named, "test", len(named["all"]))
    if "train" not in named:
        raise InputError("--data", f"has only the splits {' and '.join(named)}", "add a train split")
    if not rule.val_split:
        _check_without_validation(named)
        named["val"] = np.empty(0, np.int64)
    elif "val" not in named:
        named["train"], named["val"] = hold_out(
            named["train"], labels, rule.val_split, rule.seed + 1, spare_single=True
        )
        _check_filled(named, "val", sum(map(len, splits.values())))
    return {split: named[split] for split in ("train", "val", "test") if split in named}


def hold_out(
    indices: Indices, labels: NDArray[np.int64], fraction: float, seed: int, *, spare_single: bool = False
) -> tuple[Indices, Indices]:
    """Split `indices` into those that stay and those held out, stratified by class; both sorted.

    Holds out `fraction` of each class, rounded by largest remainders so that the total is exact as well.
    `spare_single` never holds out the only sample of a class.
    """
    generator = np.random.default_rng(seed)
    by_class = indices[np.lexsort((indices, labels[indices]))]
    groups = np.split(by_class, np.flatnonzero(np.diff(labels[by_class])) + 1)
    exact = np.array([len(group) * fraction for group in groups])
    counts = np.floor(exact).astype(int)
    missing = round(len(indices) * fraction) - int(counts.sum())
    order = np.argsort(counts - exact, kind="stable")
    if spare_single:
        order = order[np.array([len(group) > 1 for group in groups])[order]]
    counts[order[:missing]] += 1
    held_out, remaining = [], []
    for group, count in zip(groups, counts, strict=True):
        shuffled = generator.permutation(group)
        held_out.append(shuffled[:count])
        remaining.append(shuffled[count:])
    return np.sort(np.concatenate(remaining)), np.sort(np.concatenate(held_out))


def stratified_folds(indices: Indices, labels: NDArray[np.int64], count: int, seed: int) -> list[Indices]:
    """Split `indices` into `count` stratified folds of nearly equal size; all sorted.

    Raises InputError if a fold would be empty.
    """
    if count > len(indices):
        raise InputError("--folds", f"{count} folds of {len(indices)} samples", f"give at most {len(indices)}")
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(indices)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return [np.sort(by_class[start::count]) for start in range(count)]


def limited(indices: Indices, labels: NDArray[np.int64], limit: int | None, seed: int) -> Indices:
    """A stratified choice of at most `limit` of `indices`."""
    if limit is None or limit >= len(indices):
        return indices
    return hold_out(indices, labels, limit / len(indices), seed)[1]


def _check_without_validation(splits: dict[str, Indices]) -> None:
    """Refuse data with a validation split of its own, and data without a test split, of which nothing is measured."""
    if "val" in splits:
        raise InputError("--val-split", "is 0, but the data has a validation split", "drop --val-split")
    if "test" not in splits:
        raise InputError("--val-split", "0 leaves no sample to measure, since the data has no test split", "raise it")


def _check_filled(splits: dict[str, Indices], held_out: str, total: int) -> None:
    for split in (held_out, "train"):
        if len(splits[split]) == 0:
            option = f"--{held_out}-split"
            change, name = ("raise", _SPLIT_NAMES[split]) if split == held_out else ("lower", "training")
            what = f"leaves no {name} samples ({total} in all)"
            raise InputError(option, what, f"{change} {option} or add samples")
