"""A data set in memory: an array of samples, an array of labels, and the indices of each split."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dlnotes_cli.data.preprocessing import Preprocessing


@dataclass(frozen=True)
class LabeledSamples:
    """Samples, labels and splits as a data source has them, before missing splits are drawn.

    `samples` is uint8 (N, C, H, W) for images, or float32 (N, F) for features and encoded tables. `splits` maps
    "train", "val" and "test", or "all" if the source names no splits, to int64 indices into `samples`.
    """

    name: str
    samples: "NDArray[np.generic]"
    labels: "NDArray[np.int64]"
    classes: tuple[str, ...]
    splits: "dict[str, NDArray[np.int64]]"
    files: tuple[str, ...] = ()  # one name per sample if samples are files or rows
    bad_files: tuple[str, ...] = ()  # skipped by --skip-bad
    fingerprint: str = ""  # equal for the same samples
    folders: tuple[str, ...] = ()  # the class folders, where `classes` are other names


@dataclass(frozen=True, kw_only=True)
class DataSet(LabeledSamples):
    """Samples split into train, val and, if there is one, test, with the preprocessing that a model needs.

    `samples` is uint8 (N, C, H, W) for images, float32 (N, F) for features and for standardized tables.
    """

    preprocessing: "Preprocessing"
    images: "NDArray[np.uint8] | None" = None  # (N, C, H, W) of a named set whose samples are features

    @property
    def counts(self) -> dict[str, int]:
        """Number of samples in each split."""
        return {split: len(indices) for split, indices in self.splits.items()}
