"""Which samples train, validate and test: drawn by seed, stratified by class."""

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.shell.errors import InputError

Indices = NDArray[np.int64]


def complete_splits(
    splits: dict[str, Indices], labels: NDArray[np.int64], *, seed: int, val_split: float, test_split: float
) -> dict[str, Indices]:
    """Train, val and (where there is one) test from the splits that the data names.

    Data with no splits gives all three; train and test give val out of train; train and val leave test out.
    Raises InputError where a split would have no samples.
    """
    named = dict(splits)
    if "all" in named:
        named["train"], named["test"] = hold_out(named["all"], labels, test_split, seed, spare_single=True)
        _check_filled(named, "test", len(named["all"]))
    if "train" not in named:
        raise InputError("--data", f"has a split for {' and '.join(named)} alone", "add one to train on")
    if "val" not in named:
        named["train"], named["val"] = hold_out(named["train"], labels, val_split, seed + 1, spare_single=True)
        _check_filled(named, "val", sum(map(len, splits.values())))
    return {split: named[split] for split in ("train", "val", "test") if split in named}


def hold_out(
    indices: Indices, labels: NDArray[np.int64], fraction: float, seed: int, *, spare_single: bool = False
) -> tuple[Indices, Indices]:
    """Split `indices` into what stays and what is held out, class by class; both sorted.

    Each class gives `fraction` of its samples, rounded so that the total is right too (largest remainders);
    `spare_single` leaves the sample of a class that has but one.
    """
    generator = np.random.default_rng(seed)
    by_class = indices[np.lexsort((indices, labels[indices]))]
    groups = np.split(by_class, np.flatnonzero(np.diff(labels[by_class])) + 1)
    exact = np.array([len(group) * fraction for group in groups])
    take = np.floor(exact).astype(int)
    short = round(len(indices) * fraction) - int(take.sum())
    order = np.argsort(take - exact, kind="stable")
    if spare_single:
        order = order[np.array([len(group) > 1 for group in groups])[order]]
    take[order[:short]] += 1
    held, kept = [], []
    for group, count in zip(groups, take, strict=True):
        drawn = generator.permutation(group)
        held.append(drawn[:count])
        kept.append(drawn[count:])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held))


def stratified_folds(indices: Indices, labels: NDArray[np.int64], count: int, seed: int) -> list[Indices]:
    """Split `indices` into `count` folds of nearly equal size, each class spread evenly; all sorted.

    Raises InputError where a split would have no samples.
    """
    if count > len(indices):
        raise InputError("--folds", f"{count} folds of {len(indices)} samples", f"give at most {len(indices)}")
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(indices)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return [np.sort(by_class[start::count]) for start in range(count)]


def limited(indices: Indices, labels: NDArray[np.int64], limit: int | None, seed: int) -> Indices:
    """At most `limit` of `indices`, stratified."""
    if limit is None or limit >= len(indices):
        return indices
    return hold_out(indices, labels, limit / len(indices), seed)[1]


def _check_filled(named: dict[str, Indices], held: str, total: int) -> None:
    for split in (held, "train"):
        if len(named[split]) == 0:
            option = f"--{held}-split"
            fix = f"give another {option} or more samples"
            raise InputError(option, f"leaves 0 of {total} samples for {split}", fix)
