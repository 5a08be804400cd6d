"""The objective of training: cross-entropy with label smoothing and class weights, and an L1 penalty."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.shell.codec import parse_object
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import read_file, user_path
from dlnotes_cli.training.distributed import Processes
from dlnotes_cli.training.options import WEIGHT_FILES, ClassifierConfig
from dlnotes_cli.training.task import Batch, StepLoss

if TYPE_CHECKING:
    from dlnotes_cli.data.batches import TrainingBatch


class BatchPart(NamedTuple):
    """The samples of a batch that are computed together."""

    batch: "TrainingBatch"
    whole: "TrainingBatch | None"  # the batch, whose labels determine the weight of the part; None: it is all


def in_parts(part: "TrainingBatch", whole: "TrainingBatch", processes: Processes, accumulate: int) -> Batch:
    """A batch in parts, of the samples `part` that this process has; of `whole` the labels are read."""
    pieces, samples = part.parts(accumulate), len(whole.labels)
    is_all = len(pieces) == 1 and processes.is_alone
    parts = [BatchPart(each, None if is_all else whole) for each in pieces]
    return Batch(parts, samples, processes.rank < samples)


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

    def __call__(
        self, logits: Tensor, batch: "TrainingBatch", whole: "TrainingBatch | None" = None
    ) -> tuple[Tensor, Tensor]:
        """(objective, loss) of logits (N, K): the scalar to differentiate, and the plain cross-entropy in nats.

        For mixed images both are weighted means over the two labels. Where `batch` is a part of a `whole` one, the
        objective is the share of the part: those of all parts add up to that of the whole batch.
        """
        objective, loss = self._losses(logits, batch.labels, None if whole is None else whole.labels)
        if batch.mixed_labels is not None:
            all_labels = None if whole is None else whole.mixed_labels
            other_objective, other_loss = self._losses(logits, batch.mixed_labels, all_labels)
            objective = batch.weight * objective + (1 - batch.weight) * other_objective
            loss = batch.weight * loss + (1 - batch.weight) * other_loss
        share = 1.0 if whole is None else len(batch.labels) / len(whole.labels)
        for weight in self._penalized:
            objective = objective + share * self._l1 * weight.abs().sum()
        return objective, loss

    def of_part(self, logits: Tensor, part: BatchPart) -> StepLoss:
        """The objective of the logits (N, K) of a part, its plain loss and the number of correct samples."""
        objective, loss = self(logits, part.batch, part.whole)
        correct = (logits.detach().argmax(1) == part.batch.dominant).sum()
        return StepLoss(objective, loss * len(part.batch.labels), correct)

    def _losses(self, logits: Tensor, labels: Tensor, all_labels: Tensor | None) -> tuple[Tensor, Tensor]:
        objective = F.cross_entropy(logits, labels, self._class_weights, label_smoothing=self._label_smoothing)
        is_plain = not self._label_smoothing and self._class_weights is None
        loss = objective.detach() if is_plain else F.cross_entropy(logits.detach(), labels)
        return objective if all_labels is None else objective * self._share(labels, all_labels), loss

    def _share(self, labels: Tensor, all_labels: Tensor) -> Tensor | float:
        """The share of a part in the mean over a batch: by samples, or by their class weights."""
        if self._class_weights is None:
            return len(labels) / len(all_labels)
        return self._class_weights[labels].sum() / self._class_weights[all_labels].sum()


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
_COLUMNS = ("class", "weight")
_SHOWN = 5  # classes that an error names


def class_weights_of(options: ClassifierConfig) -> dict[str, float] | None:
    """The weights by class name in the file that `--class-weights` names; None without a file.

    Raises InputError for a file that cannot be read, and naming a class whose weight is no number above 0.
    """
    if Path(options.class_weights).suffix.lower() not in WEIGHT_FILES:
        return None
    path = user_path(options.class_weights)
    content = read_file(path, _LARGEST_FILE, "use a file with one weight per class")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(_WHERE, f"{path} is not UTF-8 text", "save it as UTF-8") from error
    entries = _json_entries(path, text) if path.suffix.lower() == ".json" else _csv_entries(path, text)
    return {name: _weight(path, name, value) for name, value in entries.items()}


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


def _json_entries(path: Path, text: str) -> dict[str, object]:
    try:
        return parse_object(text)
    except (ValueError, RecursionError) as error:
        what = f"{path} is not a JSON object of a number for each class"
        raise InputError(_WHERE, what, 'write {"cat": 1, "dog": 2.5}') from error


def _csv_entries(path: Path, text: str) -> dict[str, object]:
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    header = tuple(cell.strip() for cell in rows[0]) if rows else ()
    if sorted(header) != sorted(_COLUMNS) or not all(len(row) == len(header) for row in rows):
        what = f"{path} is not a table with the columns {' and '.join(_COLUMNS)}"
        raise InputError(_WHERE, what, "write the header class,weight and a line for each class")
    name, weight = (header.index(column) for column in _COLUMNS)
    entries: dict[str, object] = {}
    for row in rows[1:]:
        if row[name] in entries:
            raise InputError(_WHERE, f"{path} has class '{row[name]}' twice", "give each class one weight")
        entries[row[name]] = row[weight]
    return entries


def _weight(path: Path, name: str, value: object) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]  # any JSON value
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number <= _LARGEST:
        what = f"{path}: class '{name}' has the weight {value!r:.40}"
        raise InputError(_WHERE, what, f"give a number above 0 and at most {_LARGEST:,.0f}")
    return number


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:_SHOWN]) + more
