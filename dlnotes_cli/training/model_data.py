"""The data that a trained model is measured on: that of its training, split as then."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.paths import kind_of
from dlnotes_cli.data.splits import SplitRule, complete_splits
from dlnotes_cli.data.texts.labeled import TextDataSet
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.training.model_metadata import Metadata


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


def split_as_in_training(data: str, dataset: AnyData, metadata: Metadata) -> AnyData:
    """Split a data set as in training if the model was trained on the same data; otherwise return it unchanged."""
    trained_on = metadata.get("data", {})
    if trained_on.get("fingerprint") != dataset.fingerprint:
        if trained_on.get("name") == data:
            output.warn(f"{data} has changed since the training: some of these samples may be training samples")
        return dataset
    rule = SplitRule(float(trained_on["val_split"]), float(trained_on["test_split"]), int(metadata["seed"]))
    splits = complete_splits(dataset.splits, dataset.labels, rule)
    return replace(dataset, splits={name: indices for name, indices in splits.items() if len(indices)})


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
