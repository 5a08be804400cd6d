"""`dlnotes conv-shape`."""

from typing import Any

import typer

from dlnotes_cli.calculate.options import ConvShapeConfig
from dlnotes_cli.shapes.table import bare, stack_lines
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import add_command
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import choices_of

EXAMPLES = (
    'dlnotes conv-shape --input 3x130x130 "Conv2d(3, 10, 3)" "MaxPool2d(4, 4)"',
    "dlnotes conv-shape -W 130 -F 3 -S 1 -P 0",
)


def conv_shape(config: ConvShapeConfig) -> None:
    """Shapes, parameters, cost, memory and receptive field of a stack of layers, without loading torch.

    Layers: as in PyTorch, separated by ; or new lines; nn.Sequential too.
    Known: Conv, ConvTranspose, pooling, padding, normalization, activations,
    Linear, Dropout, Flatten, Unflatten, Upsample, PixelShuffle, Fold, Unfold,
    Embedding, RNN, LSTM, GRU, Identity; the Lazy ones too.
    Parameters: what training changes; buffers, such as running means, apart.
    MACs: multiply-adds of convolutions, linear and recurrent layers.
    FLOPs: 2 x MACs. Bias additions are counted apart, everything else as 0.
    Field: input positions that one output sees, along each axis.
    Jump: their distance from output to output. Start: the first one's center.
    Inference memory: weights and the largest input and output of one layer.
    Training memory: weights, gradients, optimizer state and all activations.
    """
    from dlnotes_cli.calculate.conv_shape import conv_shape as task

    answer = task(config)
    if config.json:
        output.document(config.command, answer.fields)
    elif config.field is not None:
        output.line(bare(_field(answer.fields, config.field)))
    elif config.csv:
        output.raw(_csv(answer.fields))
    else:
        for line in (*stack_lines(answer.fields), *answer.lines):
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
    writer.writerows({name: "" if row[name] is None else bare(row[name]) for name in columns} for row in rows)
    return text.getvalue()
