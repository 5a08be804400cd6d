"""A report on a stack of layers as an aligned table, with its totals."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from dlnotes_cli.shapes.layer import shortened

_NARROWEST = 40  # columns of a terminal
_LAYER_WIDTH = 40  # of a layer's text on a terminal
_LEFT_OUT = ("start", "jump", "bias adds", "FLOPs", "activations", "field", "MACs")  # first to last


def stack_lines(fields: dict[str, Any]) -> Iterator[str]:
    """The table of a stack, the formulas where they were asked for, and the totals."""
    layers = fields.get("layers")
    if not layers:
        return
    yield from _table([_row(index, layer) for index, layer in enumerate(layers, 1)])
    for index, layer in enumerate(layers, 1):
        if layer.get("formulas"):
            yield from ("", f"{index}  {layer['layer']}")
            yield from (f"   {name}: {formula}" for name, formula in layer["formulas"].items())
    yield ""
    yield from _totals(fields)


def _row(index: int, layer: dict[str, Any]) -> dict[str, str]:
    return {
        "": str(index),
        "layer": shortened(layer["layer"]),
        "output": bare(layer["output"]),
        "parameters": f"{layer['parameters']:,}",
        "MACs": f"{layer['macs']:,}",
        "FLOPs": f"{layer['flops']:,}",
        "bias adds": f"{layer['bias_adds']:,}",
        "activations": _bytes(layer["activation_bytes"]),
        "field": _axes(layer["receptive_field"]),
        "jump": _axes(layer["jump"]),
        "start": _axes(layer["start"]),
    }


def _table(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """Aligned columns, numbers to the right."""
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    if sys.stdout.isatty():
        widths = _fitted(widths, max(shutil.get_terminal_size().columns, _NARROWEST))
    for row in ({name: name for name in rows[0]}, *rows):
        yield _aligned({**row, "layer": shortened(row["layer"], widths["layer"])}, widths)


def _fitted(widths: dict[str, int], room: int) -> dict[str, int]:
    """The columns that a terminal has room for: the last go first, then the layers' text is cut."""
    widths = {**widths, "layer": min(widths["layer"], _LAYER_WIDTH)}
    for name in _LEFT_OUT:
        if sum(widths.values()) + 2 * (len(widths) - 1) > room:
            del widths[name]
    excess = sum(widths.values()) + 2 * (len(widths) - 1) - room
    return {**widths, "layer": max(widths["layer"] - max(excess, 0), len("layer"))}


def _aligned(row: dict[str, str], widths: dict[str, int]) -> str:
    cells = (
        row[name].ljust(width) if name in {"layer", "output"} else row[name].rjust(width)
        for name, width in widths.items()
    )
    return "  ".join(cells).rstrip()


def _totals(fields: dict[str, Any]) -> Iterator[str]:
    memory = fields["memory"]
    sizes = f"{bare(fields['output'])} = " if len(fields["output"]) > 1 else ""
    yield f"output      {sizes}{fields['values']:,} values"
    for index, layer in enumerate(fields["layers"], 1):
        states = [f"{name} {bare(layer[name])}" for name in ("hidden", "cell") if name in layer]
        if states:
            yield f"states      layer {index}: {', '.join(states)}"
    yield f"parameters  {fields['parameters']:,}, buffers {fields['buffers']:,}"
    yield f"cost        {fields['macs']:,} MACs = {fields['flops']:,} FLOPs"
    yield f"            and {fields['bias_adds']:,} bias additions"
    inference, training = _bytes(memory["inference_bytes"]), _bytes(memory["training_bytes"])
    yield f"memory      {inference} for inference, {training} for training"
    yield f"            ({fields['optimizer']}, {fields['dtype']}, batch of {fields['batch']:,})"


def _axes(values: list[int | float] | None) -> str:
    if values is None:
        return "-"
    return bare(values[:1]) if len(set(values)) == 1 else bare(values)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024:  # noqa: PLR2004  # bytes in a KiB
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} PiB"


def bare(value: Any) -> str:
    """A number or shape as text, `3x32x32` for a list."""
    if value is None:
        return "null"
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
