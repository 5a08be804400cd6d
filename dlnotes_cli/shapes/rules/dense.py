"""Linear layers and embeddings."""

from math import prod

from dlnotes_cli.shapes.layer import Effect, RefusedError, Shape, check_size, sample
from dlnotes_cli.shapes.rules.arguments import Arguments


def linear(given: Arguments, shape: Shape) -> Effect:
    """A weight for each pair of input and output, over the last size of the shape."""
    inputs, outputs = given.whole("in_features", 1), given.whole("out_features", 1)
    check_size("a weight", (outputs, inputs))
    if shape[-1] != inputs:
        what = f"takes {inputs} values, got {shape[-1]} (the last of {sample(shape)})"
        fix = "put Flatten() before it" if prod(shape) == inputs else f"write in_features={shape[-1]}"
        raise RefusedError(what, fix)
    output = (*shape[:-1], outputs)
    check_size("an output", output)
    has_bias = bool(given["bias"])
    positions, weights = prod(shape[:-1]), inputs * outputs
    parameters = weights + outputs * has_bias
    return Effect(
        output,
        parameters=parameters,
        macs=positions * weights,
        bias_adds=prod(output) * has_bias,
        reach="whole" if len(shape) == 2 else "lost",  # noqa: PLR2004  # a batch and its values
        formulas=(
            ("parameters", f"{inputs} * {outputs}" + (f" + {outputs}" if has_bias else "") + f" = {parameters}"),
            ("MACs", f"{positions} * {inputs} * {outputs} = {positions * weights}"),
        ),
    )


def embedding(given: Arguments, shape: Shape) -> Effect:
    """A row of the table for each index; the input is whole numbers."""
    rows, columns = given.whole("num_embeddings", 1), given.whole("embedding_dim", 1)
    check_size("a weight", (rows, columns))
    if given["padding_idx"] is not None and not -rows <= given.whole("padding_idx") < rows:
        raise RefusedError(f"padding_idx={given['padding_idx']} is not one of the {rows} rows", f"use 0 to {rows - 1}")
    for name in ("max_norm", "norm_type"):
        given.optional_number(name)
    for name in ("scale_grad_by_freq", "sparse"):
        given.flag(name)
    output = (*shape, columns)
    check_size("an output", output)
    formulas = (("parameters", f"{rows} * {columns} = {rows * columns}"),)
    return Effect(output, parameters=rows * columns, reach="lost", formulas=formulas)
