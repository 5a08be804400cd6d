"""The metadata of a trained model, and its checks, which model files and exported models share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlnotes_cli.shell.errors import InputError

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
    if "fingerprint" in data:
        for key in ("val_split", "test_split"):
            if type(data[key]) not in {int, float} or not 0 <= data[key] <= 1:
                raise ValueError(key)
        if type(metadata["seed"]) is not int:
            raise TypeError("seed")
