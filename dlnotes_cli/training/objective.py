"""The objective of training: cross-entropy with label smoothing and class weights, and an L1 penalty."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.data.table import Table, parse_table
from dlnotes_cli.shell.codec import parse_object
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import read_file, user_path
from dlnotes_cli.training.distributed import Processes
from dlnotes_cli.training.options import WEIGHT_FILES
from dlnotes_cli.training.task import Batch, StepLoss

if TYPE_CHECKING:
    from dlnotes_cli.data.batches import TrainingBatch


class BatchPart(NamedTuple):
    """The samples of a batch that are computed together, and the whole batch, whose labels weigh the part."""

    batch: "TrainingBatch"
    whole: "TrainingBatch"


def in_parts(part: "TrainingBatch", whole: "TrainingBatch", processes: Processes, accumulate: int) -> Batch:
    """A batch in parts, of the samples `part` that this process has; of `whole` the labels are read."""
    samples = len(whole.labels)
    return Batch([BatchPart(each, whole) for each in part.parts(accumulate)], samples, processes.rank < samples)


def penalized_weights(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that L1 and L2 penalties act on: trained ones of two or more dimensions, so no biases."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad and parameter.ndim > 1]


class Objective:
    """Mean cross-entropy of a batch, with label smoothing and class weights, plus an L1 penalty on the weights."""

    def __init__(
        self, network: nn.Module, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None, l1: float = 0.0
    ) -> None:
        self._label_smoothing, self._class_weights, self._l1 = label_smoothing, class_weights, l1
        self._penalized = penalized_weights(network) if l1 else []

    def __call__(self, logits: Tensor, part: BatchPart) -> StepLoss:
        """The loss of the logits (N, K) of a part; its objective is its share: those of all parts add up.

        The loss is the plain cross-entropy in nats. For mixed images both are weighted means over the two labels.
        """
        batch, whole = part
        objective, loss = self._losses(logits, batch.labels, whole.labels)
        if batch.mixed_labels is not None and whole.mixed_labels is not None:
            other_objective, other_loss = self._losses(logits, batch.mixed_labels, whole.mixed_labels)
            objective = batch.weight * objective + (1 - batch.weight) * other_objective
            loss = batch.weight * loss + (1 - batch.weight) * other_loss
        for weight in self._penalized:
            objective = objective + len(batch.labels) / len(whole.labels) * self._l1 * weight.abs().sum()
        return StepLoss(objective, loss, (logits.detach().argmax(1) == batch.dominant).sum())

    def _losses(self, logits: Tensor, labels: Tensor, all_labels: Tensor) -> tuple[Tensor, Tensor]:
        """The share of these labels in the mean over all labels of a batch, by class weight; and their plain loss."""
        weights, smoothing = self._class_weights, self._label_smoothing
        total = F.cross_entropy(logits, labels, weights, reduction="sum", label_smoothing=smoothing)
        is_plain = not smoothing and weights is None
        loss = total.detach() if is_plain else F.cross_entropy(logits.detach(), labels, reduction="sum")
        return total / (len(all_labels) if weights is None else weights[all_labels].sum()), loss


def weights_of_classes(
    labels: Tensor, classes: int, *, is_balanced: bool, given: Sequence[float] | None = None
) -> Tensor | None:
    """The weights of classes in the loss, float32 (classes,): `given` ones, or those that balance the labels.

    None where all classes have the same weight.
    """
    if given is not None:
        return torch.tensor(given, device=labels.device)
    return balanced_weights(labels, classes) if is_balanced else None


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Class weights float32 (classes,): samples / (classes * samples of the class), as scikit-learn's "balanced"."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    return (len(labels) / (classes * counts)).float()


_WHERE = "--class-weights"
_LARGEST_FILE = 1 << 24  # bytes
_LARGEST = 1e6  # of a weight
_SHOWN = 5  # classes that an error names


def class_weights_of(option: str) -> dict[str, float] | None:
    """The weights by class name in the file that `--class-weights` names; None for another value of the option.

    Raises InputError for a file that cannot be read, and naming a class whose weight is no number above 0.
    """
    path = user_path(option)
    if path.suffix.lower() not in WEIGHT_FILES:
        return None
    content = read_file(path, _LARGEST_FILE, "use a file with one weight per class")
    try:
        is_json = path.suffix.lower() == ".json"
        entries = parse_object(content.decode("utf-8-sig")) if is_json else _weights_in(parse_table(path, content))
    except (ValueError, RecursionError) as error:
        fix = 'write {"cat": 1, "dog": 2.5} in a JSON file, or the columns class and weight in a CSV file'
        raise InputError(_WHERE, f"{path} does not give a weight to each class ({error})", fix) from error
    weights = {name: _number(weight) for name, weight in entries.items()}
    for name, weight in weights.items():
        if not 0 < weight <= _LARGEST:
            what = f"{path}: class '{name}' has the weight {entries[name]!r:.40}"
            raise InputError(_WHERE, what, f"give a number above 0 and at most {_LARGEST:,.0f}")
    return weights


def _weights_in(table: Table) -> dict[str, str]:
    """The weights in a table. Raises ValueError for other columns, and naming a class that is there twice."""
    if sorted(table.header) != ["class", "weight"]:
        raise ValueError("its columns are not class and weight")
    names = table.column("class")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise ValueError(f"class '{name}' has several weights")
    return dict(zip(names, table.column("weight"), strict=True))


def _number(weight: object) -> float:
    """A weight as a number, NaN if it is none."""
    try:
        return float(weight) if isinstance(weight, (str, int, float)) and weight is not True else math.nan
    except (ValueError, OverflowError):
        return math.nan


def weights_in_order(weights: Mapping[str, float] | None, classes: Sequence[str]) -> tuple[float, ...] | None:
    """The weights of the classes, in their order. Raises InputError naming classes that are unknown or missing."""
    if weights is None:
        return None
    unknown, missing = [name for name in weights if name not in classes], [c for c in classes if c not in weights]
    if unknown:
        what = f"the data has no class {_listed(unknown)}"
        raise InputError(_WHERE, what, f"its classes are {_listed(classes)}")
    if missing:
        raise InputError(_WHERE, f"no weight for class {_listed(missing)}", "give every class a weight")
    return tuple(weights[name] for name in classes)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:_SHOWN]) + more
