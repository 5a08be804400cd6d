"""Batches of training: their order and normalization, without per-sample Python, and augmentation on the device.

Every random draw is a function of (seed, epoch, index) alone. Mixup and CutMix mix each image with another one of the
batch, and the loss is weighted over both labels.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images import transforms as T  # noqa: N812  # as of torchvision
from dlnotes_cli.data.images.augment_parser import MIXING, Operation
from dlnotes_cli.data.images.transforms import Draws
from dlnotes_cli.data.preprocessing import ImagePreprocessing, Preprocessing
from dlnotes_cli.device import fits_on_device
from dlnotes_cli.seeding import derived_seed
from dlnotes_cli.shell import output

_FAIR = 0.5  # probability of a coin
_STREAM = 0x6D6978  # separates the draws of mixing from those of the augmentation of single images


def epoch_order(indices: Tensor, seed: int, epoch: int) -> Tensor:
    """A permutation of `indices` for one epoch, a function of seed and epoch alone."""
    generator = torch.Generator().manual_seed(derived_seed(seed, epoch))
    return indices[torch.randperm(len(indices), generator=generator)]


def balanced_order(indices: Tensor, labels: Tensor, seed: int, epoch: int) -> Tensor:
    """As many of `indices` for one epoch, drawn with replacement so that each class is equally likely.

    `labels` (N,) are those of `indices`.
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, epoch))
    _, class_of, counts = labels.cpu().unique(return_inverse=True, return_counts=True)
    by_class = class_of.argsort(stable=True)
    starts = counts.cumsum(0) - counts
    drawn = torch.randint(len(counts), (len(indices),), generator=generator)
    within = (torch.rand(len(indices), generator=generator, dtype=torch.float64) * counts[drawn]).long()
    return indices[by_class[starts[drawn] + within]]


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

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
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


def splits_on_device(dataset: DataSet, device: torch.device) -> dict[str, Split]:
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


def _tensor(array: NDArray[np.generic]) -> Tensor:
    with warnings.catch_warnings():
        # Memory-mapped samples are read-only.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


# --- augmentation ----------------------------------------------------------------------------------------------------

_APPLY: dict[str, Callable[..., Tensor]] = {  # of samples, the numbers of the operation, and draws
    "vflip": T.vflip, "shift": T.shift, "crop": T.crop, "rotate": T.rotate, "scale": T.scale,
    "resized-crop": T.resized_crop, "perspective": T.perspective, "color": T.color, "blur": T.blur, "erase": T.erase,
    "trivial": T.trivial, "rand": T.rand,
}  # fmt: skip


class Augmenter:
    """Applies the operations on single images, all but mixup and cutmix, to uint8 batches (N, C, H, W)."""

    def __init__(self, operations: tuple[Operation, ...], seed: int) -> None:
        self._operations = [operation for operation in operations if operation.name not in MIXING]
        self._seed = seed

    def __call__(self, samples: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """Augmented samples: uint8, or float32 in 0..255 after an operation that interpolates or blends.

        On a GPU they are in the channels-last memory format, which the network expects.
        """
        if self._operations and samples.device.type != "cpu":
            samples = samples.contiguous(memory_format=torch.channels_last)
        for position, operation in enumerate(self._operations):
            draws = Draws(indices, derived_seed(self._seed, epoch, position))
            if operation.name == "flip":
                samples = T.flip(samples, self._is_flipped(indices, epoch, position))
            else:
                samples = _APPLY[operation.name](samples, *operation.numbers, draws)
        return samples

    def _is_flipped(self, indices: Tensor, epoch: int, position: int) -> Tensor:
        """Which images are flipped, bool (N,): each in every second epoch, from the first or the second on at random.

        Two epochs have each image in both directions, which random flips only have on average, and train a network to
        the same accuracy in fewer epochs (Jordan 2024, arXiv:2404.00498).
        """
        coin = Draws(indices, derived_seed(self._seed, position)).uniform() < _FAIR
        return coin ^ (epoch % 2 == 1)


@dataclass(frozen=True)
class TrainingBatch:
    """A batch for a training step; `mixed_labels` is None if its images are not mixed.

    A `weight` of image i belongs to class `labels[i]`, the rest to class `mixed_labels[i]`.
    """

    samples: Tensor  # (N, ...)
    labels: Tensor  # int64 (N,)
    mixed_labels: Tensor | None = None  # int64 (N,)
    weight: float = 1.0

    def parts(self, count: int) -> list["TrainingBatch"]:
        """The batch in at most `count` parts of nearly equal size."""
        if count == 1:
            return [self]
        count = min(count, len(self.labels))
        samples, labels = self.samples.tensor_split(count), self.labels.tensor_split(count)
        mixed = [None] * count if self.mixed_labels is None else self.mixed_labels.tensor_split(count)
        return [TrainingBatch(*part, self.weight) for part in zip(samples, labels, mixed, strict=True)]

    def rows(self, which: slice) -> "TrainingBatch":
        """Some of the images."""
        mixed = None if self.mixed_labels is None else self.mixed_labels[which]
        return TrainingBatch(self.samples[which], self.labels[which], mixed, self.weight)

    @property
    def dominant(self) -> Tensor:
        """The labels with the larger weight, int64 (N,)."""
        if self.mixed_labels is None or self.weight >= 0.5:  # noqa: PLR2004  # half
            return self.labels
        return self.mixed_labels


class Mixer:
    """Mixes each image with the previous one of the batch, which is random as the order of the epoch is.

    All images of a batch have one weight, drawn from Beta(A, A) as a function of seed, epoch and batch index.
    """

    def __init__(self, operations: tuple[Operation, ...], seed: int) -> None:
        self._operation = next((operation for operation in operations if operation.name in MIXING), None)
        self._seed = seed

    @property
    def is_active(self) -> bool:
        """Whether the operations include mixup or cutmix."""
        return self._operation is not None

    def __call__(self, samples: Tensor, labels: Tensor, *, epoch: int, batch: int) -> TrainingBatch:
        """The batch (N, C, H, W), mixed if the operations include mixup or cutmix."""
        if self._operation is None:
            return TrainingBatch(samples, labels)
        generator = np.random.default_rng(derived_seed(self._seed, _STREAM, epoch, batch))
        weight = float(generator.beta(self._operation.amount, self._operation.amount))
        if self._operation.name == "mixup":
            mixed = mixup(samples, weight)
        else:
            row, column = generator.random(2)
            mixed, weight = cutmix(samples, weight, (float(row), float(column)))
        return TrainingBatch(mixed, labels, labels.roll(1), weight)


def mixup(samples: Tensor, weight: float) -> Tensor:
    """Blend `weight` of each image with the rest of the previous one, float32 (Zhang et al. 2018, equation 1)."""
    x = samples.float()
    return x.roll(1, 0).lerp_(x, weight)


def cutmix(samples: Tensor, weight: float, center: tuple[float, float]) -> tuple[Tensor, float]:
    """Paste a box of the previous image into each image; returns images and the remaining weight (Yun et al. 2019).

    The box has the aspect ratio of the image and 1 - `weight` of its area. Its `center` is in fractions of height and
    width; the box is clipped at the border.
    """
    height, width = samples.shape[2:]
    length = (1 - weight) ** 0.5
    rows, columns = (_span(side, at, length) for side, at in zip((height, width), center, strict=True))
    mixed = samples.clone()
    mixed[..., rows, columns] = samples[..., rows, columns].roll(1, 0)
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - area / (height * width)


def _span(side: int, center_fraction: float, length_fraction: float) -> slice:
    center, half = int(side * center_fraction), int(side * length_fraction) // 2
    return slice(max(0, center - half), min(side, center + half))
