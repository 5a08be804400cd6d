"""The metadata of a trained model: its checks, and the data that it was trained on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import DataSet, SplitRule, complete_splits
from dlnotes_cli.data.groups import Grouping
from dlnotes_cli.data.options import GroupNames, LabelColumns
from dlnotes_cli.data.paths import kind_of
from dlnotes_cli.data.texts.labeled import TextDataSet
from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import build
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.parse import regular_expression

Metadata = dict[str, Any]  # JSON values
MOST_SHOWN = 200  # characters of a file's metadata in an error
_ERRORS = (
    LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, AttributeError, AssertionError,
)  # fmt: skip


@contextmanager
def metadata_errors(path: Path, fix: str = "train the model again") -> Iterator[None]:
    """Raise whatever missing, malformed and contradictory metadata leads to as InputError.

    Inside, networks are only on the meta device, so that no error can come from the machine.
    """
    try:
        yield
    except _ERRORS as error:
        raise InputError(path, f"its metadata is invalid ({error!r:.{MOST_SHOWN}})", fix) from error


def class_names(stored: Any, outputs: int) -> tuple[str, ...]:
    """The class names of a file. Raises TypeError or ValueError unless each output of the network has its own."""
    if not isinstance(stored, list) or not all(isinstance(name, str) for name in stored):
        raise TypeError("classes")
    if len(stored) != outputs:
        raise ValueError(f"{len(stored)} classes for {outputs} outputs")
    if len(set(stored)) < len(stored):
        raise ValueError("repeated name in classes")
    return tuple(stored)


def check_data(metadata: Metadata) -> None:
    """Validate the metadata about the training data, where a file has it. Raises KeyError, TypeError or ValueError."""
    data = metadata.get("data", {})
    if not isinstance(data, dict) or not all(isinstance(data.get(key, ""), str) for key in ("name", "fingerprint")):
        raise TypeError("data")
    folders = data.get("class_folders", {})
    if not isinstance(folders, dict) or not all(isinstance(name, str) for name in folders.values()):
        raise TypeError("class_folders")
    grouping_of(metadata)
    if "fingerprint" in data:
        for key in ("val_split", "test_split"):
            if type(data[key]) not in {int, float} or not 0 <= data[key] <= 1:
                raise ValueError(key)
        if type(metadata["seed"]) is not int:
            raise TypeError("seed")


class ChosenSplit(NamedTuple):
    """The name of a split, and the indices (n,) of its samples."""

    name: str
    indices: NDArray[np.int64]


AnyData = TypeVar("AnyData", DataSet, TextDataSet)


def training_data(metadata: Metadata, check: Callable[[str], object] = kind_of) -> str:
    """The data that a model was trained on, as its `--data` was; `check` raises InputError where there is no such data.

    Raises InputError if that leads nowhere from here, and without metadata, as of a file of another program.
    """
    if not metadata:
        raise InputError("--data", "the model does not say what it was trained on", "pass --data with labeled images")
    data = str(metadata.get("data", {}).get("name", "digits"))
    try:
        check(data)
    except InputError as error:
        where = user_path(data).absolute()
        what = f"the model was trained on '{data}', and {where} does not exist"
        raise InputError("--data", what, "pass --data with the path of the data") from error
    return data


def class_folders(metadata: Metadata) -> dict[str, str]:
    """The names of class folders that the model was trained with; empty where they are those of the folders."""
    return dict(metadata.get("data", {}).get("class_folders", {}))


def label_columns(metadata: Metadata) -> LabelColumns | None:
    """The columns of the list of images that a model was trained on, if it was."""
    stored = metadata.get("data", {}).get("labels")
    return None if stored is None else build(LabelColumns, stored)


def grouping_of(metadata: Metadata, data: str = "") -> Grouping | None:
    """What tells the groups of samples that were kept in one split, if something did; `data` is where to find them."""
    labels, stored = label_columns(metadata), metadata.get("data", {}).get("groups")
    if stored is None:
        return None
    names = build(GroupNames, stored)
    regular_expression(names.pattern or "")
    return Grouping(data=data, labels=labels, **vars(names))


def split_as_in_training(data: str, dataset: AnyData, metadata: Metadata) -> AnyData:
    """Split a data set as in training if the model was trained on the same data; otherwise return it unchanged."""
    trained_on = metadata.get("data", {})
    if trained_on.get("fingerprint") != dataset.fingerprint:
        if trained_on.get("name") == data:
            output.warn(f"{data} has changed since the training: some of these samples may be training samples")
        return dataset
    splits = float(trained_on["val_split"]), float(trained_on["test_split"])
    rule = SplitRule(*splits, int(metadata["seed"]), grouping=grouping_of(metadata, data))
    completed = complete_splits(dataset.splits, dataset.labels, rule, getattr(dataset, "files", ()))
    return replace(dataset, splits={name: indices for name, indices in completed.items() if len(indices)})


def choose_split(dataset: DataSet | TextDataSet, name: str = "auto") -> ChosenSplit:
    """The split that `--split` names; auto is test if there is one, else val, else all.

    Raises InputError if the data does not have it.
    """
    splits = dataset.splits
    if name == "auto":
        name = next((candidate for candidate in ("test", "val") if candidate in splits), "all")
    if name == "all" and "all" not in splits:
        return ChosenSplit(name, np.sort(np.concatenate(list(splits.values()))))
    if name not in splits:
        choices = ", ".join(dict.fromkeys([*splits, "all"]))
        raise InputError("--split", f"{dataset.name} has no split '{name}'", f"choose from {choices}")
    return ChosenSplit(name, splits[name])
