"""Names of classes for folders that have numbers or codes, from a JSON file such as the course's cat_to_name.json."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dlnotes_cli.data.listing import FolderListing
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import read_file

WHERE = "--class-names"
_LARGEST_FILE = 1 << 24  # bytes
_SHOWN = 5  # folders that an error names


def read_class_names(path: Path) -> dict[str, str]:
    """The name of each class folder, in a JSON object such as `{"1": "pink primrose"}`. Raises InputError."""
    content = read_file(path, _LARGEST_FILE, "use a JSON file of class names")
    try:
        names = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise _invalid(path) from error
    if not isinstance(names, dict):
        raise _invalid(path)
    for folder, name in names.items():
        if not isinstance(name, str) or not name.strip():
            raise InputError(WHERE, f"{path} has no text for the class folder '{folder}'", "give it a name")
    return {folder: output.readable(name.strip()) for folder, name in names.items()}


def with_class_names(listing: FolderListing, path: Path | None) -> FolderListing:
    """A listing whose classes have the names in a file; their order stays that of the folders.

    Raises InputError naming a folder without a name, and two folders with the same name.
    """
    if path is None:
        return listing
    names = read_class_names(path)
    missing = [folder for folder in listing.classes if folder not in names]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        listed = ", ".join(f"'{folder}'" for folder in missing[:_SHOWN]) + more
        raise InputError(WHERE, f"{path} has no name for the class folder {listed}", "add it to the file")
    named = renamed(listing, names)
    for i, name in enumerate(named.classes):
        if name in named.classes[:i]:
            folders = f"'{listing.classes[named.classes.index(name)]}' and '{listing.classes[i]}'"
            raise InputError(
                WHERE, f"{path} gives the class folders {folders} the name '{name}'", "use different names"
            )
    return named


def renamed(listing: FolderListing, names: Mapping[str, str]) -> FolderListing:
    """A listing whose classes have other names, where there are any."""
    if not names:
        return listing
    return replace(listing, classes=tuple(names.get(name, name) for name in listing.classes), folders=listing.classes)


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("repeated name")
    return names


def _invalid(path: Path) -> InputError:
    return InputError(WHERE, f"{path} is not a JSON object of names", 'write {"1": "pink primrose", "2": "tulip"}')
