"""Groups of samples that belong together, such as the images of a patient: a group is never in two splits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.labels import image_names, root_of
from dlnotes_cli.data.options import GroupNames, LabelColumns
from dlnotes_cli.data.table import read_table
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Grouping(GroupNames):
    """Where the names of groups stand, in the table or files that `--data` names."""

    data: str
    labels: LabelColumns | None  # of a list of images

    def of(self, files: Sequence[str]) -> Indices:
        """The number of each sample's group (N,), from the names of the samples as LabeledSamples has them.

        Raises InputError naming a file that the pattern does not match, and the line of an empty cell.
        """
        if self.pattern is not None:
            names = [_found(self.pattern, file) for file in files]
        else:
            by_file = self._column_by_file()
            names = [by_file[file] for file in files]
        return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)

    def _column_by_file(self) -> dict[str, str]:
        cells = read_table(user_path(self.data))
        groups = cells.filled(str(self.column), "--group-column")
        if self.labels is None:
            keys = [f"{cells.path}:{line}" for line in cells.lines]
        else:
            root = root_of(cells.path, self.labels.root)
            keys = [str(root / name) for name in image_names(cells, self.labels.image, root)]
        return dict(zip(keys, groups, strict=True))


def _found(pattern: str, file: str) -> str:
    """What a pattern finds in a file name: its first group, or without one all that it matches."""
    match = re.search(pattern, Path(file).name)
    if match is None:
        what = f"'{pattern}' does not match the name of {file}"
        raise InputError("--group-pattern", what, "write a pattern that matches every file name")
    return (match[1] or "") if match.re.groups else match[0]


def check_separate(splits: dict[str, Indices], groups: Indices, files: Sequence[str], data: str) -> None:
    """Raise InputError naming two samples of one group that are in different splits."""
    first: dict[int, tuple[str, int]] = {}
    for split, indices in splits.items():
        for i in indices.tolist():
            other, j = first.setdefault(int(groups[i]), (split, i))
            if other != split:
                what = f"{files[j]} ({other}) and {files[i]} ({split}) are of one group"
                raise InputError(data, what, "put each group into one split")


def hold_out_groups(indices: Indices, labels: Indices, groups: Indices, fraction: float, seed: int) -> Indices:
    """Those of `indices` that are held out, sorted: whole groups with about `fraction` of each class.

    Groups are distributed as by scikit-learn's StratifiedGroupKFold: those with the most uneven classes first, each to
    the side that has less of its classes so far, relative to what it should have. At least one is held out.
    """
    names, group = np.unique(groups[indices], return_inverse=True)
    counts = np.zeros((len(names), int(labels.max()) + 2))  # of each class, and of all
    np.add.at(counts, (group, labels[indices]), 1)
    counts[:, -1] = np.bincount(group)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(-counts[shuffled, :-1].std(axis=1), kind="stable")]
    wanted = np.array([[1 - fraction], [fraction]]) * np.maximum(counts.sum(axis=0), 1)
    have, is_held = np.zeros_like(wanted), np.zeros(len(names), bool)
    for number in order:
        shares = ((have + counts[number] / 2) / wanted) @ counts[number]
        is_held[number] = shares[1] < shares[0]
        have[int(is_held[number])] += counts[number]
    if not is_held.any():
        is_held[np.argmin(counts[:, -1])] = True
    return np.sort(indices[is_held[group]])
