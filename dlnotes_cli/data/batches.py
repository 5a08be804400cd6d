"""Batches without per-sample Python: one tensor of samples, indexed and normalized on the device."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import fits_on_device
from dlnotes_cli.seeding import derived_seed
from dlnotes_cli.shell import output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dlnotes_cli.data.dataset import DataSet
    from dlnotes_cli.data.preprocessing import Preprocessing


def epoch_order(indices: Tensor, seed: int, epoch: int) -> Tensor:
    """A permutation of `indices` for one epoch, a function of seed and epoch alone."""
    generator = torch.Generator().manual_seed(derived_seed(seed, epoch))
    return indices[torch.randperm(len(indices), generator=generator)]


def batch_bounds(samples: int, batch_size: int) -> list[tuple[int, int]]:
    """Start and stop of each batch; a last batch of one sample is merged into the previous one.

    The variance of batch normalization is undefined for a single sample.

    >>> batch_bounds(65, 32), batch_bounds(70, 32)
    ([(0, 32), (32, 65)], [(0, 32), (32, 64), (64, 70)])
    """
    starts = list(range(0, samples, batch_size))
    if len(starts) > 1 and samples - starts[-1] == 1 < batch_size:
        starts.pop()
    return list(zip(starts, [*starts[1:], samples], strict=True))


def normalization(preprocessing: ImagePreprocessing) -> tuple[Tensor, Tensor]:
    """Scale and offset (C, 1, 1) in float32 with which `x * scale + offset` normalizes pixels 0..255."""
    mean, std = (torch.tensor(values, dtype=torch.float64) for values in (preprocessing.mean, preprocessing.std))
    return (1 / (255 * std)).float().view(-1, 1, 1), (-mean / std).float().view(-1, 1, 1)


class Normalizer:
    """Normalizes pixels 0..255 to `(x / 255 - mean) / std` per channel; tables and features stay unchanged."""

    def __init__(self, preprocessing: "Preprocessing", device: torch.device) -> None:
        self._offset: Tensor | None = None
        if isinstance(preprocessing, ImagePreprocessing):
            self._scale, self._offset = (tensor.to(device) for tensor in normalization(preprocessing))

    def __call__(self, samples: Tensor) -> Tensor:
        """Normalized float32 samples of the same shape, (N, C, H, W) or (N, F)."""
        x = samples.float()
        if self._offset is None:
            return x
        if self._offset.shape != x.shape[1:]:  # one value for each pixel is several times as fast as one per channel
            each = (tensor[:, :1, :1].expand(x.shape[1:]).contiguous() for tensor in (self._scale, self._offset))
            self._scale, self._offset = each
        return torch.addcmul(self._offset, x, self._scale)


@dataclass(frozen=True)
class Split:
    """One split of a data set on its device, in a fixed order; samples that do not fit there stay in main memory."""

    samples: Tensor  # uint8 (N, C, H, W) or float32 (N, F), of the whole data set
    labels: Tensor  # int64 (N,), on the device
    indices: Tensor  # int64 (n,), into both, on the device

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, indices: Tensor) -> Tensor:
        """The samples at `indices`, on the device, not normalized."""
        samples = self.samples.index_select(0, indices.to(self.samples.device))
        if samples.device == self.labels.device:
            return samples
        return samples.pin_memory().to(self.labels.device, non_blocking=True)

    def in_order(self, batch_size: int, which: slice = slice(None)) -> Iterator[tuple[Tensor, Tensor]]:
        """Samples and labels of the whole split in its fixed order: all batches, or those at the positions `which`."""
        for start in range(0, len(self), batch_size)[which]:
            indices = self.indices[start : start + batch_size]
            yield self.take(indices), self.labels.index_select(0, indices)


def splits_on_device(dataset: "DataSet", device: torch.device) -> dict[str, Split]:
    """All splits of a data set with their tensors on `device`; on the CPU nothing is copied.

    Samples that do not fit into the free memory of the device stay in main memory, or in the file that is mapped there.
    """
    samples, labels = _tensor(dataset.samples), _tensor(dataset.labels).to(device)
    if fits_on_device(samples.nbytes, device):
        samples = samples.to(device)
    else:
        what = f"the data ({output.size(samples.nbytes)}) does not fit into the free memory of {device}"
        output.note(f"{what}; each batch is copied there")
    return {name: Split(samples, labels, _tensor(indices).to(device)) for name, indices in dataset.splits.items()}


def _tensor(array: "NDArray[np.generic]") -> Tensor:
    with warnings.catch_warnings():
        # Memory-mapped samples are read-only.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)
