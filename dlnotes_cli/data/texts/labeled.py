"""Labeled texts of a CSV table, of a folder with one subfolder of .txt files per class, or of the embedded set."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data import table, table_columns
from dlnotes_cli.data.listing import list_folder
from dlnotes_cli.data.options import EMBEDDED_TEXTS, TABLE_SUFFIXES
from dlnotes_cli.data.splits import SplitRule, complete_splits, limited
from dlnotes_cli.data.texts import remarks
from dlnotes_cli.data.texts.files import encoding_of
from dlnotes_cli.data.texts.preprocessing import DocumentPreprocessing
from dlnotes_cli.data.walk import TEXTS
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, nearest, reason
from dlnotes_cli.shell.files import read_file, user_path

TEXT_COLUMN, TARGET = "text", "label"  # of data without columns
_MOST_BYTES = 1 << 24  # of a file with one text
_MOST_SHOWN = 5  # items that a note lists
_LAYOUT = "give a CSV file, or a folder with one subfolder of .txt files per class"
_NUL = "\0"


@dataclass(frozen=True)
class TextDataSet:
    """Texts with their labels and splits; `splits` maps names to int64 indices, "all" where the data names none."""

    name: str
    texts: tuple[str, ...]
    labels: NDArray[np.int64]  # (N,)
    classes: tuple[str, ...]
    splits: dict[str, NDArray[np.int64]]
    items: tuple[str, ...]  # the file, or path:line, of each text
    fingerprint: str
    dropped: int = 0  # texts that were empty
    text_column: str = TEXT_COLUMN
    target: str = TARGET

    @property
    def counts(self) -> dict[str, int]:
        """Number of texts in each split."""
        return {split: len(indices) for split, indices in self.splits.items()}

    @property
    def longest(self) -> int:
        """Characters of the longest text."""
        return max(map(len, self.texts), default=0)


TextsKind = Literal["embedded", "folder", "table"]


def texts_kind(data: str) -> TextsKind:
    """What `--data` names. Raises InputError if there is no such set, folder or table."""
    if data == EMBEDDED_TEXTS:
        return "embedded"
    path = user_path(data)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise InputError("--data", f"{path} cannot be read ({reason(error)})", "check the path") from error
    if is_folder:
        return "folder"
    if is_file and path.suffix.lower() in TABLE_SUFFIXES:
        return "table"
    if path.exists():
        raise InputError("--data", f"{path} is neither a folder nor a CSV file", _LAYOUT)
    if any(mark in data for mark in "/\\."):
        raise InputError(path, "no such file or folder", "check the path")
    near = nearest(data, [EMBEDDED_TEXTS])
    hint = f"did you mean '{near}'? " if near else ""
    what = f"'{data}' is neither a named set of texts nor a folder"
    raise InputError("--data", what, f"{hint}choose {EMBEDDED_TEXTS}, or {_LAYOUT}")


def load_training_texts(
    data: str, text_column: str | None, target: str | None, rule: SplitRule, encoding: str | None = None
) -> TextDataSet:
    """Load and split the texts of a training run.

    Raises InputError for data that cannot be read, that has one class only, or a split without texts.
    """
    kind = texts_kind(data)
    dataset = _load(data, kind, TextColumns(text_column, target), encoding)
    if len(dataset.classes) < 2:  # noqa: PLR2004  # one class cannot be classified
        only = dataset.classes[0]
        raise InputError("--data", f"{data} has only one class, '{only}'", "give texts of two classes or more")
    splits = complete_splits(dataset.splits, dataset.labels, rule)
    _check_classes(dataset, splits["train"], "--data", "add texts, or lower --val-split")
    splits["train"] = limited(splits["train"], dataset.labels, rule.limit, rule.seed)
    _check_classes(dataset, splits["train"], "--limit", "raise it")
    return replace(dataset, splits=splits)


def _check_classes(dataset: TextDataSet, train: NDArray[np.int64], option: str, fix: str) -> None:
    """Refuse training texts at the indices `train` that lack a class. Raises InputError."""
    missing = np.setdiff1d(np.arange(len(dataset.classes)), dataset.labels[train])
    if len(missing):
        names = ", ".join(dataset.classes[i] for i in missing[:_MOST_SHOWN])
        raise InputError(option, f"no training text of class {names}", fix)


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
    unknown = next((name for name in dataset.classes if name not in classes), None)
    if unknown is not None:
        what = f"the model does not have the class '{unknown}'"
        raise InputError("--data", what, f"its classes are {', '.join(classes)}")
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
        if _NUL in text:
            what = f"line {line}: column '{column}' has a NUL character, which no text has"
            raise InputError(cells.path, what, "save the file as UTF-8 text")
    return texts


def read_text_file(path: Path, encoding: str | None = None) -> str:
    """The text of a file without surrounding white space, decoded as `decode_text` does. Raises InputError."""
    return decode_text(path, read_file(path, _MOST_BYTES, "give a shorter text, or split it"), encoding)


def decode_text(path: Path, content: bytes, encoding: str | None = None) -> str:
    """The text of bytes in the encoding that `encoding_of` says.

    Raises InputError naming line and byte of others, and for a NUL character.
    """
    used = encoding_of(content, encoding)
    try:
        text = content.decode(used).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        where = content.count(b"\n", 0, error.start) + 1
        what = f"line {where}: byte {error.object[error.start]:#04x} is not {used.upper()}"
        raise InputError(path, what, "save the file as UTF-8") from None
    if _NUL in text:
        line = text.count("\n", 0, text.index(_NUL)) + 1
        raise InputError(path, f"line {line} has a NUL character, which no text has", "save it as UTF-8 text")
    return text.strip()


def _load(data: str, kind: TextsKind, columns: TextColumns, encoding: str | None) -> TextDataSet:
    for name, value in (("--text-column", columns.text), ("--target", columns.target)):
        if value is not None and kind != "table":
            raise InputError(name, f"has no effect on {data}, which is no table", "drop it, or give a CSV file")
    if kind == "embedded":
        dataset = _embedded()
    elif kind == "table":
        dataset = _of_table(user_path(data), columns, encoding)
    else:
        dataset = _of_folder(user_path(data), encoding)
    return _without_empty(dataset)


def _embedded() -> TextDataSet:
    texts, labels = remarks.remarks()
    items = tuple(f"{EMBEDDED_TEXTS}:{i}" for i in range(1, len(texts) + 1))
    return TextDataSet(
        EMBEDDED_TEXTS, tuple(texts), np.array(labels, np.int64), remarks.CLASSES, {"all": np.arange(len(texts))},
        items, _digest(zip(texts, map(str, labels), strict=True)),
    )  # fmt: skip


def _of_table(path: Path, columns: TextColumns, encoding: str | None) -> TextDataSet:
    cells, target = table.read_table(path, encoding=encoding), columns.target
    labels, classes = table_columns.read_labels(cells, target)
    column = column_of_texts(cells, columns.text, target)
    items = tuple(f"{path}:{line}" for line in cells.lines)
    return TextDataSet(
        str(path), tuple(texts_of_table(cells, column)), labels, classes, {"all": np.arange(len(labels))}, items,
        cells.fingerprint, text_column=column, target=str(target),
    )  # fmt: skip


def _of_folder(root: Path, encoding: str | None) -> TextDataSet:
    listing = list_folder(root, TEXTS, "texts")
    texts = [read_text_file(path, encoding) for path in listing.files]
    splits = np.array(listing.splits)
    return TextDataSet(
        str(root), tuple(texts), np.array(listing.labels, np.int64), listing.classes,
        {str(split): np.flatnonzero(splits == split) for split in np.unique(splits)}, tuple(map(str, listing.files)),
        _digest(zip([stamp.name for stamp in listing.stamps], texts, strict=True)),
    )  # fmt: skip


def _without_empty(dataset: TextDataSet) -> TextDataSet:
    """The data set without empty texts and their labels, which a note names. Raises InputError if all are empty."""
    is_empty = np.array([not text.strip() for text in dataset.texts])
    if not is_empty.any():
        return dataset
    named = [dataset.items[i] for i in np.flatnonzero(is_empty)]
    shown = ", ".join(named[:_MOST_SHOWN]) + (" and others" if len(named) > _MOST_SHOWN else "")
    if is_empty.all():
        raise InputError("--data", f"every text of {dataset.name} is empty ({shown})", "choose another --text-column")
    output.warn(f"{output.counted(len(named), 'empty text')} left out with the label: {shown}")
    kept = np.flatnonzero(~is_empty)
    position = np.cumsum(~is_empty) - 1
    splits = {name: position[indices[~is_empty[indices]]] for name, indices in dataset.splits.items()}
    return _with_used_classes(replace(
        dataset, texts=tuple(dataset.texts[i] for i in kept), labels=dataset.labels[kept], splits=splits,
        items=tuple(dataset.items[i] for i in kept), dropped=len(named),
    ))  # fmt: skip


def _with_used_classes(dataset: TextDataSet) -> TextDataSet:
    """The data set without classes whose texts were all empty."""
    used = np.unique(dataset.labels)
    position = np.zeros(len(dataset.classes), np.int64)
    position[used] = np.arange(len(used))
    return replace(dataset, labels=position[dataset.labels], classes=tuple(dataset.classes[i] for i in used))


def _digest(entries: Iterable[tuple[str, str]]) -> str:
    """A SHA-256 of pairs of texts."""
    digest = hashlib.sha256()
    for one, other in entries:
        digest.update(f"{one}\0{other}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()
