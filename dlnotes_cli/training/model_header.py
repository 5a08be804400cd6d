"""The metadata of a model file, read without its weights and without torch; for use, `model_file` checks much more."""

import json
from pathlib import Path
from typing import Any

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.shell.errors import InputError, unreadable

_LENGTH_BYTES = 8  # in front of the header
_MAX_HEADER_BYTES = 64 << 20
_FORMAT_VERSION = 1
_FIX = "use the folder of a run, or its model.safetensors"


def model_path(path: Path) -> Path:
    """The model file that a run folder stands for, or the path itself."""
    return path / "model.safetensors" if path.is_dir() else path


def read_model_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a model file that dlnotes wrote: JSON values. Raises InputError for another or damaged file.

    The checksum of the file is not compared, since that would read all weights.
    """
    check_regular(path)
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            content = stream.read(length) if length <= _MAX_HEADER_BYTES else b""
    except OSError as error:
        raise unreadable(path, error, _FIX) from error
    try:
        metadata = json.loads(json.loads(content)["__metadata__"]["dlnotes"])
        version = metadata["format_version"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(path, "is not a dlnotes model file", _FIX) from error
    if version != _FORMAT_VERSION:
        what = f"has format version {version!r:.20}; this dlnotes reads version {_FORMAT_VERSION}"
        raise InputError(path, what, "upgrade dlnotes, or train the model again")
    return dict(metadata)
