"""`dlnotes conv-shape`."""

from typing import Any

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import choices_of


@command(
    panel="Calculate",
    task="lessons.conv_shape.conv_shape:conv_shape",
    also=(
        "lessons.conv_shape.stack:StackResult -> StackResult",
        "lessons.conv_shape.stack:ComparisonResult -> ComparisonResult",
        "lessons.conv_shape.conv_shape:SolveResult -> SolveResult",
        "lessons.conv_shape.conv_shape:FormulaResult -> FormulaResult",
        "lessons.conv_shape.stack:GramResult -> GramResult",
    ),
    examples=(
        'dlnotes conv-shape --input 3x130x130 "Conv2d(3, 10, 3)" "MaxPool2d(4, 4)"',
        "dlnotes conv-shape -W 130 -F 3 -S 1 -P 0",
    ),
)
def conv_shape(config: ConvShapeConfig) -> None:
    """Calculate output shapes, parameters, MACs, memory and receptive field of layers.

    Layers: as in PyTorch, separated by ; or new lines; nn.Sequential too.
    A file with a class is executed, as python FILE does; nothing else is. The text
    of a printed model is read.
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
    from dlnotes_cli.shell.codec import to_json
    from dlnotes_cli.shell.show import check_outputs, show

    check_outputs(config)
    result = task(config)
    if config.field is None:
        show(result, config)
        return
    output.line(_field(to_json(result), config.field))
    for note in result.notes:
        output.note(note)


def _field(fields: dict[str, Any], name: str) -> str:
    """One field of the JSON document or of its `memory`, `3x32x32` for a list."""
    values = {**fields.get("memory", {}), **fields}
    if name not in values:
        known = [choice for choice in choices_of(ConvShapeConfig, "field") if choice in values]
        fix = f"choose from {', '.join(known)}" if known else "use --json"
        raise InputError("--field", f"'{name}' is not a field of this result", fix)
    value = values[name]
    return "null" if value is None else "x".join(map(str, value)) if isinstance(value, list) else str(value)
