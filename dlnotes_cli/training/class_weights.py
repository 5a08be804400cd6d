"""The weights of the classes in the loss: balanced, or those of a file."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.limited_input import read_file
from dlnotes_cli.training.options import WEIGHT_FILES, ClassifierConfig
from dlnotes_cli.training.stored_values import parse_object

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
