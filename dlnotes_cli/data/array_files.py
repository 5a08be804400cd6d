"""Array files: .npy of one array, .npz of several by name."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.shell import files


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Write one array, under a temporary name first."""
    stream = io.BytesIO()
    np.save(stream, array)
    files.atomic_write(path, stream.getvalue())


def write_npz(path: Path, /, **arrays: NDArray[Any]) -> None:
    """Write arrays by name, under a temporary name first."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]  # of its stubs
    files.atomic_write(path, stream.getvalue())
