"""What a classifier gets right: loss, accuracy, and precision, recall and F1 of each class."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.images.augment_parser import is_flippable
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from dlnotes_cli.data.batches import Split
    from dlnotes_cli.data.preprocessing import Preprocessing
    from dlnotes_cli.device import Runtime

_BATCH = 1024  # samples in a forward pass without gradients
_NUMBERS = 1 << 22  # in the samples of such a pass: of large images fewer go in


@dataclass(frozen=True)
class ClassScores:
    """How one class was recognized; a ratio with nothing below the line counts as 0, as in scikit-learn."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Evaluation:
    """The outcome of a classifier on labeled samples."""

    loss: float  # cross-entropy in nats, mean per sample
    confusion: NDArray[np.int64]  # (K, K): rows are true classes, columns predicted ones
    within_top: dict[int, int] = field(default_factory=dict)  # k -> samples whose class is among the k most probable

    @property
    def samples(self) -> int:
        """Samples seen."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Part of the samples that were classified right."""
        return float(np.trace(self.confusion) / self.samples) if self.samples else math.nan

    def per_class(self, classes: tuple[str, ...]) -> list[ClassScores]:
        """Precision, recall, F1 and support of every class."""
        right = np.diag(self.confusion)
        predicted, support = self.confusion.sum(axis=0), self.confusion.sum(axis=1)
        return [
            ClassScores(
                name, _ratio(right[i], predicted[i]), _ratio(right[i], support[i]),
                _ratio(2 * right[i], predicted[i] + support[i]), int(support[i]),
            )
            for i, name in enumerate(classes)
        ]  # fmt: skip

    def macro_average(self) -> dict[str, float]:
        """Unweighted means of precision, recall and F1 over the classes that have samples or were predicted."""
        scores = self.per_class(tuple("" for _ in self.confusion))
        seen = np.flatnonzero(self.confusion.sum(axis=0) + self.confusion.sum(axis=1))
        names = ("precision", "recall", "f1")
        return {name: float(np.mean([getattr(scores[i], name) for i in seen])) if len(seen) else 0.0 for name in names}

    def as_json(self) -> dict[str, Any]:
        """The fields that every result shows."""
        return {"loss": self.loss, "accuracy": self.accuracy, "samples": self.samples}


def forward_batch(shape: Sequence[int]) -> int:
    """How many samples of `shape` go through a network at once where no gradients are kept."""
    return max(1, min(_BATCH, _NUMBERS // math.prod(shape)))


@torch.no_grad()
def evaluate(
    network: nn.Module,
    part: "Split",
    normalizer: Callable[[Tensor], Tensor],
    runtime: "Runtime",
    *,
    classes: int,
    top: tuple[int, ...] = (),
    poll: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Run a network over a part, batch by batch, in evaluation mode; `poll` is called between batches.

    Loss and counts are sums over the samples really seen, divided once at the end.
    """
    was_training = network.training
    network.eval()
    loss = torch.zeros((), dtype=torch.float64, device=part.indices.device)
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=part.indices.device)
    within = dict.fromkeys(top, 0)
    try:
        for samples, labels in part.in_order(forward_batch(part.samples.shape[1:])):
            poll()
            logits = predict_logits(network, normalizer(samples), runtime)
            loss += F.cross_entropy(logits, labels, reduction="sum").double()
            confusion += torch.bincount(labels * classes + logits.argmax(1), minlength=classes * classes)
            for k in top:
                within[k] += int((logits.topk(k, dim=1).indices == labels[:, None]).sum())
    finally:
        network.train(was_training)
    mean_loss = float(loss) / len(part) if len(part) else math.nan
    return Evaluation(mean_loss, confusion.view(classes, classes).cpu().numpy(), within)


def predict_logits(network: nn.Module, x: Tensor, runtime: "Runtime") -> Tensor:
    """Logits (N, K) in float32, computed in the machine's precision."""
    with runtime.autocast():
        logits: Tensor = network(x)
    return logits.float()


class AveragedViews(nn.Module):
    """A network whose logits are the mean over several views of each image: test-time augmentation, as airbench does.

    Half the weight is the image, a quarter each the image moved by one pixel up and left, and down and right; where
    a mirror image keeps its class, each of them is the mean of itself and its mirror image. Logits are averaged, not
    probabilities: a view that is sure then counts for more, and the answer is still a softmax over one set of logits.
    """

    def __init__(self, network: nn.Module, *, mirror: bool) -> None:
        super().__init__()
        self._network, self._mirror = network, mirror

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K), float32, of images (N, C, H, W)."""
        height, width = x.shape[2:]
        framed = F.pad(x, (1, 1, 1, 1), mode="replicate")
        moved = self._both_ways(framed[..., :height, :width]) + self._both_ways(framed[..., 2:, 2:])
        return 0.5 * self._both_ways(x) + 0.25 * moved

    def _both_ways(self, x: Tensor) -> Tensor:
        logits: Tensor = self._network(x).float()
        return (logits + self._network(x.flip(3)).float()) / 2 if self._mirror else logits


def with_views(network: nn.Module, preprocessing: "Preprocessing", classes: Sequence[str]) -> nn.Module:
    """The network of `--tta`. Raises InputError for a model of tables, whose rows have no views."""
    if len(preprocessing.shape) != 3:  # noqa: PLR2004  # (C, H, W)
        raise InputError("--tta", "the model reads tables, and a row has only one view", "drop --tta")
    return AveragedViews(network, mirror=is_flippable(classes))


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else 0.0
