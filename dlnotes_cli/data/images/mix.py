"""Mixing the images of a batch with each other; the loss then counts both labels."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from dlnotes_cli.data.images.augment_words import MIXING, Operation
from dlnotes_cli.seeding import derived_seed

_STREAM = 0x6D6978  # keeps the draws apart from those of single images


@dataclass(frozen=True)
class Mixed:
    """A batch whose images may hold a second one, or, without partners, do not.

    `share` of image i is of class `labels[i]`, the rest of class `partners[i]`.
    """

    samples: Tensor  # (N, ...)
    labels: Tensor  # int64 (N,)
    partners: Tensor | None = None  # int64 (N,)
    share: float = 1.0

    @property
    def dominant(self) -> Tensor:
        """The label with the larger share, int64 (N,)."""
        return self.labels if self.partners is None or self.share >= 0.5 else self.partners  # noqa: PLR2004  # half


class Mixer:
    """Mixes each image with its neighbor in the batch, which the epoch's order has drawn at random.

    One share, drawn from Beta(A, A), for a batch: a function of the seed, the epoch and the batch's place in it.
    """

    def __init__(self, operations: tuple[Operation, ...], seed: int) -> None:
        self._operation = next((operation for operation in operations if operation.name in MIXING), None)
        self._seed = seed

    def __call__(self, samples: Tensor, labels: Tensor, *, epoch: int, batch: int) -> Mixed:
        """The batch (N, C, H, W), mixed where the words ask for it."""
        if self._operation is None:
            return Mixed(samples, labels)
        generator = np.random.default_rng(derived_seed(self._seed, _STREAM, epoch, batch))
        share = float(generator.beta(self._operation.amount, self._operation.amount))
        if self._operation.name == "mixup":
            mixed = mixup(samples, share)
        else:
            row, column = generator.random(2)
            mixed, share = cutmix(samples, share, (float(row), float(column)))
        return Mixed(mixed, labels, labels.roll(1), share)


def mixup(samples: Tensor, share: float) -> Tensor:
    """`share` of each image plus the rest of the one before it, float32 (Zhang et al. 2018, equation 1)."""
    x = samples.float()
    return x.roll(1, 0).lerp_(x, share)


def cutmix(samples: Tensor, share: float, center: tuple[float, float]) -> tuple[Tensor, float]:
    """Each image with a box of the one before it, and the share that is really left (Yun et al. 2019).

    The box has the image's aspect and the area 1 - share; its `center`, parts of height and width, lies anywhere,
    and what sticks out is cut off.
    """
    height, width = samples.shape[2:]
    rows, columns = (_span(side, at, (1 - share) ** 0.5) for side, at in zip((height, width), center, strict=True))
    mixed = samples.clone()
    mixed[..., rows, columns] = samples[..., rows, columns].roll(1, 0)
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - area / (height * width)


def _span(side: int, at: float, part: float) -> slice:
    center, half = int(side * at), int(side * part) // 2
    return slice(max(0, center - half), min(side, center + half))
