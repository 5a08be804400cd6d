"""`dlnotes conv-shape`."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from dlnotes_cli import output
from dlnotes_cli.commands.binding import add_command
from dlnotes_cli.configs.conv_shape import ConvShapeConfig
from dlnotes_cli.configs.option import choices_of
from dlnotes_cli.errors import InputError
from dlnotes_cli.shapes.layer import shortened

if TYPE_CHECKING:
    from dlnotes_cli.tasks.conv_shape import ShapeAnswer

EXAMPLES = (
    'dlnotes conv-shape --input 3x130x130 "Conv2d(3, 10, 3)" "MaxPool2d(4, 4)"',
    "dlnotes conv-shape -W 130 -F 3 -S 1 -P 0",
)
_NARROWEST = 40  # columns of a terminal
_LAYER_WIDTH = 40  # of a layer's text on a terminal
_LEFT_OUT = ("start", "jump", "bias adds", "FLOPs", "activations", "field", "MACs")  # first to last


def conv_shape(config: ConvShapeConfig) -> None:
    """Shapes, parameters, cost, memory and receptive field of a stack of layers, without loading torch.

    Layers: as in PyTorch, separated by ; or new lines; nn.Sequential too.
    Known: Conv, ConvTranspose, pooling, padding, normalisation, activations,
    Linear, Dropout, Flatten, Unflatten, Upsample, PixelShuffle, Fold, Unfold,
    Embedding, RNN, LSTM, GRU, Identity; the Lazy ones too.
    Parameters: what training changes; buffers, such as running means, apart.
    MACs: multiply-adds of convolutions, linear and recurrent layers.
    FLOPs: 2 x MACs. Bias additions are counted apart, everything else as 0.
    Field: input positions that one output sees, along each axis.
    Jump: their distance from output to output. Start: the first one's centre.
    Inference memory: weights and the largest input and output of one layer.
    Training memory: weights, gradients, optimiser state and all activations.
    """
    from dlnotes_cli.tasks.conv_shape import conv_shape as task

    show_shapes(task(config), config)


def show_shapes(answer: "ShapeAnswer", config: ConvShapeConfig, command: str = ConvShapeConfig.command) -> None:
    """Print an answer as it was asked for, and what is to be remarked on stderr."""
    if config.json:
        output.document(command, answer.fields)
    elif config.field is not None:
        output.line(_bare(_field(answer.fields, config.field)))
    elif config.csv:
        output.raw(_csv(answer.fields))
    else:
        for line in (*_stack_lines(answer.fields), *answer.lines):
            output.line(line)
    for remark in answer.remarks:
        output.note(f"dlnotes: note: {remark}")


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, conv_shape, panel="Calculate", examples=EXAMPLES)


def _field(fields: dict[str, Any], name: str) -> Any:
    found = {**fields.get("memory", {}), **fields}
    if name not in found:
        known = [choice for choice in choices_of(ConvShapeConfig, "field") if choice in found]
        fix = f"choose from {', '.join(known)}" if known else "use --json"
        raise InputError("--field", f"'{name}' is not part of this answer", fix)
    return found[name]


def _bare(value: Any) -> str:
    if value is None:
        return "null"
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def _csv(fields: dict[str, Any]) -> str:
    import csv
    import io

    rows = [{"position": index, **layer} for index, layer in enumerate(fields.get("layers", []), 1)]
    if not rows:
        raise InputError("--csv", "has a row for each layer, and there is none", "use --json")
    columns = [name for name in rows[0] if name not in {"hidden", "cell", "formulas"}]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if row[name] is None else _bare(row[name]) for name in columns} for row in rows)
    return text.getvalue()


def _stack_lines(fields: dict[str, Any]) -> Iterator[str]:
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
        "output": _bare(layer["output"]),
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
    sizes = f"{_bare(fields['output'])} = " if len(fields["output"]) > 1 else ""
    yield f"output      {sizes}{fields['values']:,} values"
    for index, layer in enumerate(fields["layers"], 1):
        states = [f"{name} {_bare(layer[name])}" for name in ("hidden", "cell") if name in layer]
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
    return _bare(values[:1]) if len(set(values)) == 1 else _bare(values)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024:  # noqa: PLR2004  # bytes in a KiB
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} PiB"
