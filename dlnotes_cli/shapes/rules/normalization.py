"""Normalization layers, in evaluation mode and for a batch of one."""

from math import prod

from dlnotes_cli.shapes.layer import (
    SPATIAL_LAYOUTS,
    InvalidLayerError,
    LayerInfo,
    Shape,
    check_tensor_size,
    format_sample,
    spatial_size,
)
from dlnotes_cli.shapes.rules.arguments import Arguments


def batch_norm(arguments: Arguments, shape: Shape, rank: int) -> LayerInfo:
    """`BatchNorm1d` to `BatchNorm3d`: weight and bias per channel; buffers for running mean, variance and count."""
    if len(shape) != rank + 2 and not (rank == 1 and len(shape) == 2):  # noqa: PLR2004  # batch and features
        layout = f"{SPATIAL_LAYOUTS[rank]}{' or C' if rank == 1 else ''}"
        raise InvalidLayerError(f"expects {layout}, got {format_sample(shape)}")
    has_running_stats = bool(arguments["track_running_stats"])
    eps = arguments.number("eps")
    arguments.optional_number("momentum")
    if eps < 0 or (eps == 0 and not has_running_stats):
        raise InvalidLayerError(f"eps={eps} is not above 0", "use a small number such as 1e-5")
    if not has_running_stats and prod(shape[2:]) == 1:
        what = f"one value per channel has no variance (got {format_sample(shape)})"
        raise InvalidLayerError(what, "keep track_running_stats=True")
    return _per_channel(arguments, shape, shape[1])


def instance_norm(arguments: Arguments, shape: Shape, rank: int) -> LayerInfo:
    """`InstanceNorm1d` to `InstanceNorm3d`: mean and variance of each channel of each sample."""
    spatial = spatial_size(shape, rank)
    arguments.number("eps")
    arguments.optional_number("momentum")
    if not arguments["track_running_stats"] and prod(spatial) == 1:
        what = f"one value per channel has no variance (got {format_sample(shape)})"
        raise InvalidLayerError(what, "normalize before this layer")
    return _per_channel(arguments, shape, shape[-rank - 1])


def layer_norm(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`LayerNorm` over the last dimensions, `normalized_shape`; `RMSNorm` has no mean and no bias."""
    sizes = _normalized_shape(arguments)
    arguments.number("eps") if "bias" in arguments else arguments.optional_number("eps")
    if shape[-len(sizes) :] != sizes:
        expected = ", ".join(map(str, sizes))
        what = f"normalizes the last sizes {expected}, got {format_sample(shape)}"
        raise InvalidLayerError(what, f"use a shape that ends with {expected}")
    check_tensor_size("a weight", sizes)
    weights = prod(sizes) if arguments["elementwise_affine"] else 0
    biases = weights if arguments.get("bias") else 0
    return LayerInfo(shape, parameters=weights + biases, field="unknown" if len(sizes) > 1 else "elementwise")


def group_norm(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`GroupNorm`: mean and variance of each group of channels; weight and bias per channel."""
    groups, channels = arguments.integer("num_groups", 1), arguments.integer("num_channels")
    if len(shape) == 1:
        raise InvalidLayerError(f"expects channels, got {format_sample(shape)}")
    arguments.number("eps")
    if channels % groups:
        raise InvalidLayerError(f"num_channels={channels} is not divisible by num_groups={groups}", "use a divisor")
    if arguments["affine"] and channels != shape[1]:
        raise _channel_mismatch("num_channels", channels, shape)
    if shape[1] % groups:
        raise InvalidLayerError(f"{shape[1]} channels are not divisible by num_groups={groups}", "use a divisor")
    if shape[1] // groups * prod(shape[2:]) == 1:
        what = f"one value per group has no variance (got {format_sample(shape)})"
        raise InvalidLayerError(what, "use fewer groups")
    return LayerInfo(shape, parameters=_affine_parameters(arguments, channels))


def local_response_norm(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`LocalResponseNorm`: each value divided by those of neighboring channels."""
    arguments.integer("size", 1)
    for name in ("alpha", "beta", "k"):
        arguments.number(name)
    if len(shape) < 3:  # noqa: PLR2004  # batch, channels and a spatial size
        raise InvalidLayerError(f"expects channels and a spatial size, got {format_sample(shape)}")
    return LayerInfo(shape)


def _per_channel(arguments: Arguments, shape: Shape, channels: int) -> LayerInfo:
    has_running_stats = bool(arguments["track_running_stats"])
    if not arguments["affine"] and not has_running_stats:
        return LayerInfo(shape)  # torch does not check num_features
    features = arguments.integer("num_features", 1)
    if features != channels:
        raise _channel_mismatch("num_features", features, shape)
    parameters = _affine_parameters(arguments, features)
    formulas = (("parameters", f"{parameters // features} * {features} = {parameters}"),) if parameters else ()
    buffers = 2 * features + 1 if has_running_stats else 0
    return LayerInfo(shape, parameters=parameters, buffers=buffers, count_formulas=formulas)


def _affine_parameters(arguments: Arguments, channels: int) -> int:
    return (channels * (2 if arguments["bias"] else 1)) if arguments["affine"] else 0


def _channel_mismatch(name: str, expected: int, shape: Shape) -> InvalidLayerError:
    what = f"expects {expected} channels, got {shape[1]} (of {format_sample(shape)})"
    return InvalidLayerError(what, f"write {name}={shape[1]}")


def _normalized_shape(arguments: Arguments) -> Shape:
    value = arguments["normalized_shape"]
    count = len(value) if isinstance(value, tuple | list) else 1
    if not count:
        raise InvalidLayerError("normalized_shape=() is empty", "write the last sizes of the shape")
    return arguments.sizes("normalized_shape", count)
