"""`dlnotes conv-shape`."""

from typing import TYPE_CHECKING, Any

from dlnotes_cli.calculate.options import ConvShapeConfig
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import choices_of

if TYPE_CHECKING:
    from dlnotes_cli.calculate.conv_shape import ShapeAnswer


@command(
    panel="Calculate",
    examples=(
        'dlnotes conv-shape --input 3x130x130 "Conv2d(3, 10, 3)" "MaxPool2d(4, 4)"',
        "dlnotes conv-shape -W 130 -F 3 -S 1 -P 0",
    ),
)
def conv_shape(config: ConvShapeConfig) -> None:
    """Calculate output shapes, parameters, cost, memory and receptive field of layers.

    Notation: PyTorch's, layers separated by ; or line ends; nn.Sequential too.
    Layers: Conv, ConvTranspose, pooling, padding, normalization, activations,
    Linear, Dropout, Flatten, Unflatten, Upsample, PixelShuffle, Fold, Unfold,
    Embedding, RNN, LSTM, GRU, Identity, and Lazy variants.
    Parameters: weights that training changes; buffers are counted apart.
    MACs: multiply-adds of convolutions, linear and recurrent layers.
    FLOPs: 2 x MACs. Bias additions are counted apart, all else as 0.
    Field: receptive field, the input positions that influence one output.
    Jump: distance of neighboring fields. Start: center of the first field.
    Inference memory: weights, and the largest input and output of one layer.
    Training memory: weights, gradients, optimizer state and all activations.
    """
    from dlnotes_cli.calculate.conv_shape import conv_shape as task

    csv_file = None if config.csv in {None, "-"} else files.user_path(str(config.csv))
    if csv_file is not None:
        files.check_output_file("--csv", csv_file, overwrite=config.overwrite)
    answer = task(config)
    if csv_file is not None:
        files.write_text(csv_file, _csv(answer.fields))
    if config.json:
        output.document(config.command, answer.fields)
    elif config.csv == "-":
        output.raw(_csv(answer.fields))
    else:
        _show(config, answer)
    for remark in answer.remarks:
        output.note(f"dlnotes: note: {remark}")


def _show(config: ConvShapeConfig, answer: "ShapeAnswer") -> None:
    from dlnotes_cli.shapes.table import bare, stack_lines

    if config.field is not None:
        output.line(bare(_field(answer.fields, config.field)))
        return
    for line in (*stack_lines(answer.fields), *answer.lines):
        output.line(line)


def _field(fields: dict[str, Any], name: str) -> Any:
    values = {**fields.get("memory", {}), **fields}
    if name not in values:
        known = [choice for choice in choices_of(ConvShapeConfig, "field") if choice in values]
        fix = f"choose from {', '.join(known)}" if known else "use --json"
        raise InputError("--field", f"'{name}' is not part of this result", fix)
    return values[name]


def _csv(fields: dict[str, Any]) -> str:
    import csv
    import io

    from dlnotes_cli.shapes.table import bare

    rows = [{"position": index, **layer} for index, layer in enumerate(fields.get("layers", []), 1)]
    if not rows:
        raise InputError("--csv", "needs layers, one per row", "use --json")
    columns = [name for name in rows[0] if name not in {"hidden", "cell", "formulas"}]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if row[name] is None else bare(row[name]) for name in columns} for row in rows)
    return text.getvalue()
