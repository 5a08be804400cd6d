"""Labeled texts of a CSV table, of a folder with one subfolder of .txt files per class, or of the embedded set."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data import table, table_columns
from dlnotes_cli.data.dataset import (
    SplitRule,
    check_classes,
    check_known,
    check_trained,
    complete_splits,
    limited,
    splits_of,
)
from dlnotes_cli.data.listing import list_folder
from dlnotes_cli.data.options import EMBEDDED_TEXTS
from dlnotes_cli.data.paths import DataKind, kind_of
from dlnotes_cli.data.texts import remarks
from dlnotes_cli.data.texts.files import NUL, read_sample
from dlnotes_cli.data.texts.preprocessing import DocumentPreprocessing
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path

TEXT_COLUMN, TARGET = "text", "label"  # of data without columns
_MOST_SHOWN = 5  # items that a note lists


@dataclass(frozen=True)
class TextDataSet:
    """Texts with their labels and splits; `splits` maps names to int64 indices, "all" where the data names none."""

    name: str
    texts: tuple[str, ...]
    labels: NDArray[np.int64]  # (N,)
    classes: tuple[str, ...]
    splits: dict[str, NDArray[np.int64]]
    fingerprint: str
    dropped: int = 0  # texts that were empty
    text_column: str = TEXT_COLUMN
    target: str = TARGET

    @property
    def counts(self) -> dict[str, int]:
        """Number of texts in each split."""
        return {split: len(indices) for split, indices in self.splits.items()}


def texts_kind(data: str) -> DataKind:
    """What `--data` names. Raises InputError if there is no such set, folder or table."""
    return kind_of(data, sets=(EMBEDDED_TEXTS,))


def load_training_texts(
    data: str, text_column: str | None, target: str | None, rule: SplitRule, encoding: str | None = None
) -> TextDataSet:
    """Load and split the texts of a training run.

    Raises InputError for data that cannot be read, that has one class only, or a split without texts.
    """
    kind = texts_kind(data)
    dataset = _load(data, kind, TextColumns(text_column, target), encoding)
    check_classes(data, dataset.classes)
    splits = complete_splits(dataset.splits, dataset.labels, rule)
    check_trained(dataset.classes, dataset.labels[splits["train"]])
    splits["train"] = limited(splits["train"], dataset.labels, rule.limit, rule.seed)
    check_trained(dataset.classes, dataset.labels[splits["train"]], "--limit", "raise it")
    return replace(dataset, splits=splits)


class TextColumns(NamedTuple):
    """The columns of texts and of classes that the options name, if they do."""

    text: str | None = None
    target: str | None = None


def load_texts_for_model(
    data: str, columns: TextColumns, preprocessing: DocumentPreprocessing, classes: tuple[str, ...]
) -> TextDataSet:
    """Load texts for a trained model, with labels as indices into its classes; it knows the columns of its training.

    Raises InputError for data that cannot be read, and for a class that the model does not have.
    """
    kind = texts_kind(data)
    if kind == "table":
        columns = TextColumns(columns.text or preprocessing.text_column, columns.target or preprocessing.target)
    dataset = _load(data, kind, columns, preprocessing.encoding)
    check_known(dataset.classes, classes)
    positions = np.array([classes.index(name) for name in dataset.classes], np.int64)
    return replace(dataset, labels=positions[dataset.labels], classes=classes)


def column_of_texts(cells: table.Table, name: str | None, target: str | None, option: str = "--text-column") -> str:
    """The name of the column with the texts; without a `name`, the only one besides the target. Raises InputError."""
    others = [column for column in cells.header if column != target]
    if name is None and len(others) == 1:
        return others[0]
    if name is None:
        what = f"does not name the column of {cells.path} that has the texts"
        raise InputError(option, what, f"choose from {', '.join(others)}")
    cells.column(name, option)
    if name == target:
        raise InputError(option, f"'{name}' is the target too", f"choose from {', '.join(others)}")
    return name


def texts_of_table(cells: table.Table, column: str) -> list[str]:
    """The texts of a column, in Unicode's own characters. Raises InputError naming the line of a NUL character."""
    texts = cells.column(column, "--text-column")
    for line, text in zip(cells.lines, texts, strict=True):
        if NUL in text:
            what = f"line {line}: column '{column}' has a NUL character, which no text has"
            raise InputError(cells.path, what, "save the file as UTF-8 text")
    return texts


def _load(data: str, kind: DataKind, columns: TextColumns, encoding: str | None) -> TextDataSet:
    for name, value in (("--text-column", columns.text), ("--target", columns.target)):
        if value is not None and kind != "table":
            raise InputError(name, f"has no effect on {data}, which is no table", "drop it, or give a CSV file")
    if kind == "table":
        return _of_table(user_path(data), columns, encoding)
    if kind == "folder":
        return _of_folder(user_path(data), encoding)
    texts, labels = remarks.remarks()
    digest = _digest(zip(texts, map(str, labels), strict=True))
    return TextDataSet(data, tuple(texts), np.array(labels), remarks.CLASSES, {"all": np.arange(len(texts))}, digest)


def _of_table(path: Path, columns: TextColumns, encoding: str | None) -> TextDataSet:
    cells, target = table.read_table(path, encoding=encoding), columns.target
    labels, classes = table_columns.read_labels(cells, target)
    column = column_of_texts(cells, columns.text, target)
    dataset = TextDataSet(
        str(path), tuple(texts_of_table(cells, column)), labels, classes, {"all": np.arange(len(labels))},
        cells.fingerprint, text_column=column, target=str(target),
    )  # fmt: skip
    return _without_empty(dataset, [f"{path}:{line}" for line in cells.lines])


def _of_folder(root: Path, encoding: str | None) -> TextDataSet:
    listing = list_folder(root, "texts")
    texts = [read_sample(path, encoding) for path in listing.files]
    dataset = TextDataSet(
        str(root), tuple(texts), np.array(listing.labels, np.int64), listing.classes,
        splits_of(listing.splits),
        _digest(zip([stamp.name for stamp in listing.stamps], texts, strict=True)),
    )  # fmt: skip
    return _without_empty(dataset, listing.files)


def _without_empty(dataset: TextDataSet, items: Sequence[object]) -> TextDataSet:
    """The data set without empty texts, which a note names, and classes without others. Raises InputError for none."""
    is_kept = np.array([text != "" for text in dataset.texts])
    if is_kept.all():
        return dataset
    named = [str(items[i]) for i in np.flatnonzero(~is_kept).tolist()]
    shown = ", ".join(named[:_MOST_SHOWN]) + (" and others" if len(named) > _MOST_SHOWN else "")
    if not is_kept.any():
        raise InputError("--data", f"every text of {dataset.name} is empty ({shown})", "choose another --text-column")
    output.warn(f"{output.counted(len(named), 'empty text')} left out with the label: {shown}")
    used, labels = np.unique(dataset.labels[is_kept], return_inverse=True)
    position = np.cumsum(is_kept) - 1
    splits = {name: position[indices[is_kept[indices]]] for name, indices in dataset.splits.items()}
    return replace(
        dataset, texts=tuple(filter(None, dataset.texts)), labels=labels, splits=splits,
        classes=tuple(dataset.classes[i] for i in used), dropped=len(named),
    )  # fmt: skip


def _digest(entries: Iterable[tuple[str, str]]) -> str:
    """A SHA-256 of pairs of texts."""
    digest = hashlib.sha256()
    for one, other in entries:
        digest.update(f"{one}\0{other}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()
