"""Layers over channels and features: linear, embedding, recurrent, normalization, activations and dropout.

All are in evaluation mode and for a batch of one; weights are those of the PyTorch documentation of each layer.
"""

from collections.abc import Callable
from math import prod

from dlnotes_cli.shapes.layer import SPATIAL_LAYOUTS, LayerInfo, Shape, format_sample, require, spatial_size
from dlnotes_cli.shapes.rules.arguments import Arguments, integer, sizes

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
# What must hold for the arguments of an activation, and what is wrong if it does not.
_LIMITS: dict[str, tuple[Callable[[Arguments], bool], str]] = {
    "CELU": (lambda a: a.alpha != 0, "alpha=0 divides by zero"),
    "RReLU": (lambda a: a.lower <= a.upper, "lower is above upper"),
    "Softshrink": (lambda a: a.lambd >= 0, "lambd is negative"),
    "Hardtanh": (
        lambda a: (
            (a.max_val if a.max_value is None else a.max_value) > (a.min_val if a.min_value is None else a.min_value)
        ),
        "max_val is not above min_val",
    ),
}


def linear(a: Arguments, shape: Shape) -> LayerInfo:
    """`Linear` over the last dimension: in_features * out_features weights, each used once for every position."""
    inputs, outputs, has_bias = a.in_features, a.out_features, bool(a.bias)
    what = f"expects {inputs} values, got {shape[-1]} (the last size of the input {format_sample(shape)})"
    fix = "put Flatten() before it" if prod(shape) == inputs else f"write in_features={shape[-1]}"
    require(shape[-1] == inputs, what, fix)
    positions, weights = prod(shape[:-1]), inputs * outputs
    parameters = weights + outputs * has_bias
    return LayerInfo(
        (*shape[:-1], outputs),
        parameters=parameters,
        macs=positions * weights,
        bias_adds=positions * outputs * has_bias,
        field="global" if len(shape) == 2 else "unknown",  # noqa: PLR2004  # the batch and its features
        count_formulas=(
            ("parameters", f"{inputs} * {outputs}" + (f" + {outputs}" if has_bias else "") + f" = {parameters}"),
            ("MACs", f"{positions} * {inputs} * {outputs} = {positions * weights}"),
        ),
    )


def embedding(a: Arguments, shape: Shape) -> LayerInfo:
    """`Embedding`: a row of num_embeddings x embedding_dim weights for each integer index of the input."""
    rows, columns = a.num_embeddings, a.embedding_dim
    is_row = a.padding_idx is None or -rows <= integer("padding_idx", a.padding_idx) < rows
    require(is_row, f"padding_idx={a.padding_idx} is not one of the {rows} rows", f"use 0 to {rows - 1}")
    formulas = (("parameters", f"{rows} * {columns} = {rows * columns}"),)
    return LayerInfo((*shape, columns), parameters=rows * columns, field="unknown", count_formulas=formulas)


def recurrent(a: Arguments, shape: Shape) -> LayerInfo:
    """`RNN`, `LSTM` or `GRU` over time steps and features.

    The output has the hidden states of every step; `states` has the final hidden state, and for LSTM the cell state. A
    layer and direction has gates * hidden_size * (input + hidden) weights, and hidden_size * proj_size for a
    projection; each step uses every weight once. As in torch, an input without time steps is one sequence.
    """
    _check_recurrent(a, shape)
    inputs, hidden, layers, directions = a.input_size, a.hidden_size, a.num_layers, 1 + a.bidirectional
    rows, size, projection = _GATES[a.layer] * hidden, a.proj_size or hidden, hidden * a.proj_size
    deeper = (layers - 1) * (rows * (directions * size + size) + projection)
    weights = directions * (rows * (inputs + size) + projection + deeper)
    biases = directions * layers * 2 * rows * a.bias
    steps, batch = prod(shape[:-1]), shape[:-2]
    states = {"hidden": (directions * layers, *batch, size), "cell": (directions * layers, *batch, hidden)}

    def one_layer(width: int) -> str:
        return f"{rows}*({width} + {size}{' + 2' if a.bias else ''}){f' + {projection}' if projection else ''}"

    text = one_layer(inputs) + (f" + {layers - 1}*({one_layer(directions * size)})" if layers > 1 else "")
    return LayerInfo(
        (*shape[:-1], directions * size),
        parameters=weights + biases,
        macs=steps * weights,
        bias_adds=steps * biases,
        field="unknown",
        states=tuple(states.items())[: 2 if a.layer == "LSTM" else 1],
        count_formulas=(
            ("parameters", f"{'' if directions == 1 else '2 * '}({text}) = {weights + biases}"),
            ("MACs", f"{steps} steps * {weights} weights = {steps * weights}"),
        ),
    )


def _check_recurrent(a: Arguments, shape: Shape) -> None:
    has_projection = a.proj_size or "proj_size" in a.keywords
    require(a.layer == "LSTM" or not has_projection, "proj_size applies only to LSTM", "leave it out")
    what = f"proj_size={a.proj_size} is not below hidden_size={a.hidden_size}"
    require(a.proj_size < a.hidden_size, what, f"use at most {a.hidden_size - 1}")
    is_share = not isinstance(a.dropout, bool) and 0 <= a.dropout <= 1
    require(is_share, f"dropout={a.dropout} is not between 0 and 1", "use a number from 0 to 1")
    what = f"expects time steps and features, LxH, got {format_sample(shape)}"
    require(len(shape) in {2, 3}, what, "use an input of LxH")
    what = f"expects {a.input_size} features, got {shape[-1]} (the last of {format_sample(shape)})"
    require(shape[-1] == a.input_size, what, f"write input_size={shape[-1]}")


def batch_norm(a: Arguments, shape: Shape) -> LayerInfo:
    """`BatchNorm1d` to `BatchNorm3d`: weight and bias per channel; buffers for running mean, variance and count."""
    layout, ranks = (f"{SPATIAL_LAYOUTS[1]} or C", {2, 3}) if a.rank == 1 else (SPATIAL_LAYOUTS[a.rank], {a.rank + 2})
    require(len(shape) in ranks, f"expects {layout}, got {format_sample(shape)}")
    is_valid = a.eps > 0 or (a.eps == 0 and a.track_running_stats)
    require(is_valid, f"eps={a.eps} is not above 0", "use a small number such as 1e-5")
    return _per_channel(a, shape, shape[1], prod(shape[2:]), "keep track_running_stats=True")


def instance_norm(a: Arguments, shape: Shape) -> LayerInfo:
    """`InstanceNorm1d` to `InstanceNorm3d`: mean and variance of each channel of each sample."""
    spatial = spatial_size(shape, a.rank)
    return _per_channel(a, shape, shape[-a.rank - 1], prod(spatial), "normalize before this layer")


def _per_channel(a: Arguments, shape: Shape, channels: int, values: int, fix: str) -> LayerInfo:
    has_variance = a.track_running_stats or values > 1
    require(has_variance, f"one value per channel has no variance (got {format_sample(shape)})", fix)
    if not a.affine and not a.track_running_stats:
        return LayerInfo(shape)  # torch does not check num_features
    features = integer("num_features", a.num_features, 1)
    _check_channels("num_features", features, channels, shape)
    parameters = _affine_parameters(a, features)
    formulas = (("parameters", f"{parameters // features} * {features} = {parameters}"),) if parameters else ()
    buffers = 2 * features + 1 if a.track_running_stats else 0
    return LayerInfo(shape, parameters=parameters, buffers=buffers, count_formulas=formulas)


def _check_channels(name: str, expected: int, channels: int, shape: Shape) -> None:
    what = f"expects {expected} channels, got {shape[1]} (of {format_sample(shape)})"
    require(expected == channels, what, f"write {name}={shape[1]}")


def _affine_parameters(a: Arguments, channels: int) -> int:
    return (channels * (2 if a.bias else 1)) if a.affine else 0


def layer_norm(a: Arguments, shape: Shape) -> LayerInfo:
    """`LayerNorm` over the last dimensions, `normalized_shape`; `RMSNorm` has no mean and no bias."""
    value = a.normalized_shape
    normalized = sizes("normalized_shape", value, len(value) if isinstance(value, tuple | list) else 1, 1)
    expected = ", ".join(map(str, normalized)) or "of none"
    what = f"normalizes the last sizes {expected}, got {format_sample(shape)}"
    is_last = normalized and shape[-len(normalized) :] == normalized
    require(is_last, what, f"use a shape that ends with {expected}")
    weights = prod(normalized) if a.elementwise_affine else 0
    parameters = weights * (2 if vars(a).get("bias") else 1)
    return LayerInfo(shape, parameters=parameters, field="unknown" if len(normalized) > 1 else "elementwise")


def group_norm(a: Arguments, shape: Shape) -> LayerInfo:
    """`GroupNorm`: mean and variance of each group of channels; weight and bias per channel."""
    require(len(shape) > 1, f"expects channels, got {format_sample(shape)}")
    if a.affine:
        _check_channels("num_channels", a.num_channels, shape[1], shape)
    for channels in (a.num_channels, shape[1]):
        what = f"{channels} channels are not divisible by num_groups={a.num_groups}"
        require(channels % a.num_groups == 0, what, "use a divisor")
    has_variance = shape[1] // a.num_groups * prod(shape[2:]) != 1
    require(has_variance, f"one value per group has no variance (got {format_sample(shape)})", "use fewer groups")
    return LayerInfo(shape, parameters=_affine_parameters(a, a.num_channels))


def local_response_norm(_a: Arguments, shape: Shape) -> LayerInfo:
    """`LocalResponseNorm`: each value divided by those of neighboring channels."""
    check_channels_and_positions(shape)
    return LayerInfo(shape)


def check_channels_and_positions(shape: Shape) -> None:
    """Raise InvalidLayerError for a shape without channels and a spatial size."""
    require(len(shape) > 2, f"expects channels and a spatial size, got {format_sample(shape)}")  # noqa: PLR2004


def elementwise(a: Arguments, shape: Shape) -> LayerInfo:
    """An activation that maps each value on its own, or the identity."""
    is_valid, problem = _LIMITS.get(a.layer, (None, ""))
    require(is_valid is None or is_valid(a), problem, f"see the arguments of {a.layer}")
    return LayerInfo(shape, is_view=bool(vars(a).get("inplace")) or a.layer == "Identity")


def dropout(a: Arguments, shape: Shape) -> LayerInfo:
    """Dropout, the identity in evaluation mode."""
    require(0 <= a.p <= 1, f"p={a.p} is not between 0 and 1", "use a number from 0 to 1")
    what = f"expects C or CxL, got {format_sample(shape)}"
    require(a.layer != "Dropout1d" or len(shape) in {2, 3}, what, "use Dropout, Dropout2d or Dropout3d")
    return LayerInfo(shape, is_view=bool(a.inplace))


def softmax(a: Arguments, shape: Shape) -> LayerInfo:
    """Softmax, Softmin or LogSoftmax over one dimension, the channels for `Softmax2d`; the batch is dimension 0."""
    require(a.layer != "Softmax2d" or len(shape) in {3, 4}, f"expects CxHxW, got {format_sample(shape)}")
    if vars(a).get("dim") is not None:
        dimension("dim", a.dim, shape)
    return LayerInfo(shape)


def glu(a: Arguments, shape: Shape) -> LayerInfo:
    """Gated linear unit: the first half of a dimension times the sigmoid of the second half."""
    axis = dimension("dim", a.dim, shape)
    what = f"dimension {axis} of {format_sample(shape)} is {shape[axis]}, which is odd"
    require(shape[axis] % 2 == 0, what, "make it even")
    return LayerInfo((*shape[:axis], shape[axis] // 2, *shape[axis + 1 :]))


def prelu(a: Arguments, shape: Shape) -> LayerInfo:
    """A learned slope below 0: one parameter, or one for each channel."""
    channels = shape[1] if len(shape) > 1 else 1
    what = f"num_parameters={a.num_parameters}, got {channels} channels"
    require(a.num_parameters in {1, channels}, what, f"write 1 or {channels}")
    return LayerInfo(shape, parameters=a.num_parameters)


def dimension(name: str, value: object, shape: Shape) -> int:
    """A dimension argument, counted from 0, the batch; negative ones count from the end."""
    axis, count = integer(name, value), len(shape)
    what = f"{name}={axis} is not a dimension of {format_sample(shape)} in a batch"
    require(-count <= axis < count, what, f"use {-count} to {count - 1}")
    return axis % count
