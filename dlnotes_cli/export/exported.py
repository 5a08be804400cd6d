"""Exported files with a graph, opened again to be checked."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dlnotes_cli.export.results import TensorShape

Arrays = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class ExportedGraph:
    """The graph in an exported file: its inputs and outputs, its number of nodes, and a function that runs it."""

    inputs: tuple[TensorShape, ...]
    outputs: tuple[TensorShape, ...]
    nodes: int
    run: Callable[..., Arrays]  # the values of the inputs -> the values of the outputs
    path: Path
