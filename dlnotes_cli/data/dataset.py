"""A data set in memory: an array of samples, an array of labels, and the indices of each split, drawn by seed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.groups import Grouping, check_separate, hold_out_groups
from dlnotes_cli.data.preprocessing import Preprocessing
from dlnotes_cli.shell.errors import InputError

Indices = NDArray[np.int64]
_MOST_NAMED = 5  # classes that an error names


@dataclass(frozen=True)
class LabeledSamples:
    """Samples, labels and splits as a data source has them, before missing splits are drawn.

    `samples` is uint8 (N, C, H, W) for images, or float32 (N, F) for features and encoded tables. `splits` maps
    "train", "val" and "test", or "all" if the source names no splits, to int64 indices into `samples`.
    """

    name: str
    samples: NDArray[np.generic]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    splits: dict[str, NDArray[np.int64]]
    files: tuple[str, ...] = ()  # one name per sample if samples are files or rows
    bad_files: tuple[str, ...] = ()  # skipped by --skip-bad
    fingerprint: str = ""  # equal for the same samples
    folders: tuple[str, ...] = ()  # the class folders, where `classes` are other names


@dataclass(frozen=True, kw_only=True)
class DataSet(LabeledSamples):
    """Samples split into train, val and, if there is one, test, with the preprocessing that a model needs.

    `samples` is uint8 (N, C, H, W) for images, float32 (N, F) for features and for standardized tables.
    """

    preprocessing: Preprocessing
    images: NDArray[np.uint8] | None = None  # (N, C, H, W) of a named set whose samples are features

    @property
    def counts(self) -> dict[str, int]:
        """Number of samples in each split."""
        return {split: len(indices) for split, indices in self.splits.items()}


def check_classes(name: str, classes: tuple[str, ...]) -> None:
    """Raise InputError for data of a single class, which cannot be classified."""
    if len(classes) < 2:  # noqa: PLR2004
        raise InputError("--data", f"{name} has only one class, '{classes[0]}'", "give two or more")


def check_known(names: Iterable[str], classes: tuple[str, ...]) -> None:
    """Raise InputError for a class name that a trained model, with these `classes`, does not have."""
    unknown = next((name for name in names if name not in classes), None)
    if unknown is not None:
        what = f"the model does not have the class '{unknown}'"
        raise InputError("--data", what, f"its classes are {', '.join(classes)}")


def check_trained(
    classes: tuple[str, ...], labels: Indices, option: str = "--data", fix: str = "add samples, or lower --val-split"
) -> None:
    """Raise InputError for a class without a training sample, of which `labels` (N,) has the classes."""
    if missing := sorted(set(range(len(classes))) - set(labels.tolist())):
        names = ", ".join(classes[i] for i in missing[:_MOST_NAMED])
        raise InputError(option, f"no training sample of class {names}", fix)


# --- splits, drawn by seed and stratified by class -------------------------------------------------------------------


@dataclass(frozen=True)
class SplitRule:
    """How the samples of a training run are split where the data does not say."""

    val_split: float  # fraction of the training samples
    test_split: float  # fraction of all samples
    seed: int
    limit: int | None = None  # training samples at most
    grouping: Grouping | None = None  # of samples that stay in one split


def splits_of(names: Sequence[str]) -> dict[str, Indices]:
    """The indices of each split, from the name of the split of each sample."""
    return {name: np.flatnonzero(np.array(names) == name) for name in sorted(set(names))}


def complete_splits(
    splits: dict[str, Indices], labels: Indices, rule: SplitRule, files: Sequence[str] = ()
) -> dict[str, Indices]:
    """Complete the splits that the data names to train, val and, if there is one, test.

    Data without splits is split into all three. With train and test, val is drawn from train. With train and val,
    there is no test split. With a `val_split` of 0, val is empty. Samples of a group, which the rule finds by the names
    of the `files`, stay in one split. Raises InputError if another split would be empty, if the data has a validation
    split although none is wanted, or a group in several splits.
    """
    named, total = dict(splits), sum(map(len, splits.values()))
    groups = None if rule.grouping is None else rule.grouping.of(files)
    if groups is not None and rule.grouping is not None:
        check_separate(named, groups, files, rule.grouping.data)
    if "all" in named:
        named["train"], named["test"] = _held_out(
            named["all"], labels, groups, rule.test_split, rule.seed, "--test-split", "test", total
        )
    if "train" not in named:
        raise InputError("--data", f"has only the splits {' and '.join(named)}", "add a train split")
    if rule.val_split and "val" not in named:
        named["train"], named["val"] = _held_out(
            named["train"], labels, groups, rule.val_split, rule.seed + 1, "--val-split", "validation", total
        )
    if not rule.val_split:
        if "val" in named:
            raise InputError("--val-split", "is 0, but the data has a validation split", "drop --val-split")
        if "test" not in named:
            what = "0 leaves no sample to measure, since the data has no test split"
            raise InputError("--val-split", what, "raise it")
        named["val"] = np.empty(0, np.int64)
    return {split: named[split] for split in ("train", "val", "test") if split in named}


def hold_out(
    indices: Indices, labels: Indices, fraction: float, seed: int, *, spare_single: bool = False
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


def stratified_folds(
    indices: Indices, labels: Indices, count: int, seed: int, groups: Indices | None = None
) -> list[Indices]:
    """Split `indices` into `count` stratified folds of nearly equal size, with `groups` of whole groups; all sorted.

    Raises InputError if a fold would be empty.
    """
    if groups is not None:
        from sklearn.model_selection import StratifiedGroupKFold

        if (found := len(np.unique(groups[indices]))) < count:
            raise InputError("--folds", f"{count} folds of {found} groups", f"give at most {found}")
        folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed % (1 << 32))
        return [np.sort(indices[held]) for _, held in folds.split(indices, labels[indices], groups[indices])]
    if count > len(indices):
        raise InputError("--folds", f"{count} folds of {len(indices)} samples", f"give at most {len(indices)}")
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(indices)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return [np.sort(by_class[start::count]) for start in range(count)]


def limited(indices: Indices, labels: Indices, limit: int | None, seed: int) -> Indices:
    """A stratified choice of at most `limit` of `indices`."""
    if limit is None or limit >= len(indices):
        return indices
    return hold_out(indices, labels, limit / len(indices), seed)[1]


def _held_out(
    indices: Indices, labels: Indices, groups: Indices | None, fraction: float, seed: int, option: str, name: str,
    total: int,
) -> tuple[Indices, Indices]:  # fmt: skip
    """As `hold_out`, or with `groups` whole groups. Raises InputError where an option leaves no samples of one side."""
    if groups is None:
        rest, held = hold_out(indices, labels, fraction, seed, spare_single=True)
    else:
        held = hold_out_groups(indices, labels, groups, fraction, seed)
        rest = np.setdiff1d(indices, held)
    for split, what, change in ((held, name, "raise"), (rest, "training", "lower")):
        if len(split) == 0:
            raise InputError(option, f"leaves no {what} samples ({total} in all)", f"{change} {option} or add samples")
    return rest, held
