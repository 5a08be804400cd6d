"""Augment a whole batch on its device; every random draw is a function of (seed, epoch, index) alone.

Mixup and CutMix mix each image with another one of the batch, and the loss is weighted over both labels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dlnotes_cli.data.images import policies
from dlnotes_cli.data.images import transforms as T  # noqa: N812  # as of torchvision
from dlnotes_cli.data.images.augment_parser import MIXING, Operation
from dlnotes_cli.data.images.transforms import Draws
from dlnotes_cli.seeding import derived_seed

_FAIR = 0.5  # probability of a coin
_STREAM = 0x6D6978  # separates these draws from those of the augmentation of single images
_APPLY: dict[str, Callable[..., Tensor]] = {  # of samples, the numbers of the operation, and draws
    "vflip": T.vflip, "shift": T.shift, "crop": T.crop, "rotate": T.rotate, "scale": T.scale,
    "resized-crop": T.resized_crop, "perspective": T.perspective, "color": T.color, "blur": T.blur, "erase": T.erase,
    "trivial": policies.trivial, "rand": policies.rand,
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
