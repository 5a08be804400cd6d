"""`dlnotes conv-shape`."""

from typing import TYPE_CHECKING, Any

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import choices_of

if TYPE_CHECKING:
    from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult
    from dlnotes_cli.lessons.conv_shape.stack import StackResult


@command(
    panel="Calculate",
    task="lessons.conv_shape.conv_shape:conv_shape -> ConvShapeResult",
    examples=(
        'dlnotes conv-shape --input 3x130x130 "Conv2d(3, 10, 3)" "MaxPool2d(4, 4)"',
        "dlnotes conv-shape -W 130 -F 3 -S 1 -P 0",
    ),
)
def conv_shape(config: ConvShapeConfig) -> None:
    """Calculate output shapes, parameters, MACs, memory and receptive field of layers.

    Layers: as in PyTorch, separated by ; or new lines; nn.Sequential too.
    Also read, never run: classes with a forward(), and the text of a printed model.
    Known: Conv, ConvTranspose, pooling, padding, normalization, activations,
    Linear, Dropout, Flatten, Unflatten, Upsample, PixelShuffle, Fold, Unfold,
    Embedding, RNN, LSTM, GRU, Identity; the Lazy ones too.
    Parameters: trainable values; buffers, such as running means, are separate.
    MACs: multiply-adds of convolutions, linear and recurrent layers.
    FLOPs: 2 x MACs. Bias additions are separate, everything else counts as 0.
    Field: receptive field, the input positions that reach one output, per axis.
    Jump: input positions between outputs. Start: center of the first field.
    Inference memory: weights and the largest input and output of one layer.
    Training memory: weights, gradients, optimizer state and all activations.
    """
    from dlnotes_cli.lessons.conv_shape.conv_shape import conv_shape as task

    if config.csv_file is not None:
        files.check_output_file("--csv", config.csv_file, overwrite=config.overwrite)
    result = task(config)
    if config.csv_file is not None:
        files.write_text(config.csv_file, _csv(_stack(result)))
    if config.json:
        output.document(config.command, result.as_json())
    elif config.field is not None:
        output.line(_plain(_field(result.as_json(), config.field)))
    elif config.csv_to_stdout:
        output.raw(_csv(_stack(result)))
    elif config.csv_file is not None:
        for line in (*_stack(result).totals(), str(config.csv)):
            output.line(line)
    else:
        for line in result.lines():
            output.line(line)
    for note in result.notes():
        output.note(note)


def _field(fields: dict[str, Any], name: str) -> Any:
    """One field of the JSON document or of its `memory`."""
    values = {**fields.get("memory", {}), **fields}
    if name not in values:
        known = [choice for choice in choices_of(ConvShapeConfig, "field") if choice in values]
        fix = f"choose from {', '.join(known)}" if known else "use --json"
        raise InputError("--field", f"'{name}' is not a field of this result", fix)
    return values[name]


def _stack(result: "ConvShapeResult") -> "StackResult":
    """The result on a stack; raises InputError for one without layers."""
    from dlnotes_cli.lessons.conv_shape.stack import StackResult

    if not isinstance(result, StackResult):
        raise InputError("--csv", "writes a row for each layer, and there is no layer", "use --json")
    return result


def _csv(result: "StackResult") -> str:
    """The layers of a stack, one row for each."""
    import csv
    import io

    rows = [{"position": index, **layer.as_json()} for index, layer in enumerate(result.report.layers, 1)]
    columns = [name for name in rows[0] if name not in {"hidden", "cell"}]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if row[name] is None else _plain(row[name]) for name in columns} for row in rows)
    return text.getvalue()


def _plain(value: Any) -> str:
    """A field as text, `3x32x32` for a list."""
    if value is None:
        return "null"
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
