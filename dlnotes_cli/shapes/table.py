"""The numbers of one layer of a stack, and the table of all of them."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dlnotes_cli.shapes.layer import Shape, format_shape, truncate
from dlnotes_cli.shapes.receptive_field import ReceptiveField
from dlnotes_cli.shell.codec import INLINE, OPTIONAL
from dlnotes_cli.shell.show import Table

if TYPE_CHECKING:
    from fractions import Fraction

_MIN_COLUMNS = 40  # of a terminal
_LAYER_WIDTH = 40  # of a layer's text on a terminal
_OPTIONAL_COLUMNS = ("start", "jump", "bias adds", "FLOPs", "activations", "field", "MACs")  # the first go first
_TEXTS = {"reads", "layer", "output"}  # columns that hold no numbers


@dataclass(frozen=True)
class LayerReport:
    """The numbers of one layer: shapes of one sample, counts of the whole batch."""

    layer: str
    output: Shape
    parameters: int
    buffers: int
    macs: int
    bias_adds: int
    flops: int  # 2 for each MAC
    activation_bytes: int
    receptive_field: ReceptiveField = field(metadata=INLINE)
    hidden: Shape | None = field(metadata=OPTIONAL)  # the states that a recurrent layer returns
    cell: Shape | None = field(metadata=OPTIONAL)
    inputs: tuple[int, ...] | None = field(metadata=OPTIONAL)  # with branches, positions of the layers that it reads
    formulas: dict[str, str] | None = field(metadata=OPTIONAL)  # by quantity

    @property
    def cells(self) -> dict[str, str]:
        """The numbers as text, by the name of their column."""
        field = self.receptive_field
        return {
            **({} if self.inputs is None else {"reads": ", ".join(str(one or "input") for one in self.inputs)}),
            "layer": truncate(self.layer),
            "output": format_shape(self.output),
            "parameters": f"{self.parameters:,}",
            "MACs": f"{self.macs:,}",
            "FLOPs": f"{self.flops:,}",
            "bias adds": f"{self.bias_adds:,}",
            "activations": byte_text(self.activation_bytes),
            "field": _axes(field.size),
            "jump": _axes(field.jump),
            "start": _axes(field.start),
        }


def layer_table(layers: Sequence[LayerReport]) -> Table:
    """The numbers of layers; on a terminal, the columns that fit."""
    rows = [{"": str(index), **layer.cells} for index, layer in enumerate(layers, 1)]
    columns = _fitted(rows) if sys.stdout.isatty() else list(rows[0])
    cells = [[row[name] for name in columns] for row in rows]
    return Table(columns, cells, set(columns) - _TEXTS, is_result=True, is_in_csv=True, is_plain=True)


def _fitted(rows: Sequence[dict[str, str]]) -> list[str]:
    """The columns that fit a terminal: optional ones are left out, then the layers' texts are truncated in place."""
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) + 2 for name in rows[0]}
    widths["layer"] = min(widths["layer"], _LAYER_WIDTH + 2)
    space = max(shutil.get_terminal_size().columns, _MIN_COLUMNS) + 2  # each column has two blanks in front
    for name in _OPTIONAL_COLUMNS:
        if sum(widths.values()) > space:
            del widths[name]
    longest = max(widths["layer"] - 2 - max(sum(widths.values()) - space, 0), len("layer"))
    for row in rows:
        row["layer"] = truncate(row["layer"], longest)
    return list(widths)


def _axes(values: "Sequence[float | Fraction] | None") -> str:
    """One number for each axis, or a single one where they are equal."""
    if values is None:
        return "-"
    numbers = [str(value) if isinstance(value, int) else str(round(float(value), 4)) for value in values]
    return numbers[0] if len(set(numbers)) == 1 else "x".join(numbers)


def byte_text(count: int) -> str:
    """A number of bytes in a unit that keeps it short."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024:  # noqa: PLR2004  # bytes in a KiB
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} PiB"
