"""Linear layers and embeddings."""

from math import prod

from dlnotes_cli.shapes.layer import InvalidLayerError, LayerInfo, Shape, check_tensor_size, format_sample
from dlnotes_cli.shapes.rules.arguments import Arguments


def linear(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`Linear` over the last dimension: in_features * out_features weights, each used once for every position."""
    inputs, outputs = arguments.integer("in_features", 1), arguments.integer("out_features", 1)
    check_tensor_size("a weight", (outputs, inputs))
    if shape[-1] != inputs:
        what = f"expects {inputs} values, got {shape[-1]} (the last size of the input {format_sample(shape)})"
        fix = "put Flatten() before it" if prod(shape) == inputs else f"write in_features={shape[-1]}"
        raise InvalidLayerError(what, fix)
    output = (*shape[:-1], outputs)
    check_tensor_size("an output", output)
    has_bias = bool(arguments["bias"])
    positions, weights = prod(shape[:-1]), inputs * outputs
    parameters = weights + outputs * has_bias
    return LayerInfo(
        output,
        parameters=parameters,
        macs=positions * weights,
        bias_adds=prod(output) * has_bias,
        field="global" if len(shape) == 2 else "unknown",  # noqa: PLR2004  # the batch and its features
        count_formulas=(
            ("parameters", f"{inputs} * {outputs}" + (f" + {outputs}" if has_bias else "") + f" = {parameters}"),
            ("MACs", f"{positions} * {inputs} * {outputs} = {positions * weights}"),
        ),
    )


def embedding(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`Embedding`: a row of num_embeddings x embedding_dim weights for each integer index of the input."""
    rows, columns = arguments.integer("num_embeddings", 1), arguments.integer("embedding_dim", 1)
    check_tensor_size("a weight", (rows, columns))
    if arguments["padding_idx"] is not None and not -rows <= arguments.integer("padding_idx") < rows:
        what = f"padding_idx={arguments['padding_idx']} is not one of the {rows} rows"
        raise InvalidLayerError(what, f"use 0 to {rows - 1}")
    for name in ("max_norm", "norm_type"):
        arguments.optional_number(name)
    for name in ("scale_grad_by_freq", "sparse"):
        arguments.boolean(name)
    output = (*shape, columns)
    check_tensor_size("an output", output)
    formulas = (("parameters", f"{rows} * {columns} = {rows * columns}"),)
    return LayerInfo(output, parameters=rows * columns, field="unknown", count_formulas=formulas)
