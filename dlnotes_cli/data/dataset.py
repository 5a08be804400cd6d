"""A data set in memory: one array of samples, one of labels, and which samples each part holds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dlnotes_cli.data.preprocessing import Preprocessing


@dataclass(frozen=True)
class Source:
    """What a reader found: samples with their labels, and the parts that the data itself names.

    `samples` is uint8 (N, C, H, W) for images, float64 (N, F) for a table's numbers before they are encoded.
    `parts` maps "train", "val", "test", or "all" where the data names none, to int64 indices into `samples`.
    """

    name: str
    samples: "NDArray[np.generic]"
    labels: "NDArray[np.int64]"
    classes: tuple[str, ...]
    splits: "dict[str, NDArray[np.int64]]"
    files: tuple[str, ...] = ()  # one name per sample, where samples are files or rows
    bad_files: tuple[str, ...] = ()  # what --skip-bad left out
    fingerprint: str = ""  # of names and contents, where samples are files


@dataclass(frozen=True)
class DataSet:
    """A source made ready: split into train, val and (where there is one) test, with the format that models need.

    `samples` is uint8 (N, C, H, W) for images, float32 (N, F), standardized, for a table.
    """

    name: str
    samples: "NDArray[np.generic]"
    labels: "NDArray[np.int64]"
    classes: tuple[str, ...]
    splits: "dict[str, NDArray[np.int64]]"
    preprocessing: "Preprocessing"
    fingerprint: str  # tells whether two data sets are the same samples
    files: tuple[str, ...] = ()
    bad_files: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Samples in each part."""
        return {part: len(indices) for part, indices in self.splits.items()}
