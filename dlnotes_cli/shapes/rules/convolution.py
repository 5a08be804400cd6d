"""Convolutions, transposed convolutions, and the sliding blocks of Unfold and Fold."""

from math import prod
from typing import NamedTuple

from dlnotes_cli.shapes.layer import (
    InvalidLayerError,
    LayerInfo,
    Shape,
    check_tensor_size,
    format_sample,
    format_shape,
    spatial_size,
)
from dlnotes_cli.shapes.receptive_field import layer_field
from dlnotes_cli.shapes.rules.arguments import Arguments
from dlnotes_cli.shapes.rules.padding import check_padding
from dlnotes_cli.shapes.sliding_window import SlidingWindow, TransposedWindow

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Filters(NamedTuple):
    """The weights of a convolution: in_channels * out_channels * prod(kernel_size) / groups, and a bias per filter."""

    in_channels: int
    out_channels: int
    kernel_size: Shape
    groups: int
    has_bias: bool

    @property
    def weights(self) -> int:
        return self.in_channels * self.out_channels * prod(self.kernel_size) // self.groups

    @property
    def parameters(self) -> int:
        return self.weights + self.out_channels * self.has_bias

    @property
    def formula(self) -> str:
        depth = str(self.in_channels) if self.groups == 1 else f"{self.in_channels}/{self.groups}"
        text = f"{self.out_channels} * {'*'.join(map(str, self.kernel_size))} * {depth}"
        return f"({text}) + {self.out_channels} = {self.parameters}" if self.has_bias else f"{text} = {self.parameters}"


def convolution(arguments: Arguments, shape: Shape, rank: int) -> LayerInfo:
    """`Conv1d` to `Conv3d`: floor((W + 2*padding - dilation*(kernel_size - 1) - 1) / stride) + 1 on each axis.

    From the PyTorch documentation of `Conv2d`. Each output value costs in_channels / groups * prod(kernel_size) MACs.
    """
    spatial = spatial_size(shape, rank)
    filters = _filters(arguments, shape, rank)
    windows = _windows(arguments, spatial, filters.kernel_size)
    check_windows(windows)
    output = (*shape[: -rank - 1], filters.out_channels, *(window.output for window in windows))
    check_tensor_size("an output", output)
    depth = filters.in_channels // filters.groups
    macs = prod(output) * depth * prod(filters.kernel_size)
    formula = f"{format_shape(output[1:])} outputs * {'*'.join(map(str, (*filters.kernel_size, depth)))} = {macs}"
    return _convolution_info(filters, output, windows, macs, formula)


def transposed_convolution(arguments: Arguments, shape: Shape, rank: int) -> LayerInfo:
    """`ConvTranspose1d` to `ConvTranspose3d`, from the PyTorch documentation of `ConvTranspose2d`.

    Each axis has (W - 1)*stride - 2*padding + dilation*(kernel_size - 1) + output_padding + 1 positions. Each input
    value is multiplied with every weight of its channel once: out_channels / groups * prod(kernel_size) MACs.
    """
    spatial = spatial_size(shape, rank)
    arguments.choice("padding_mode", ("zeros",))
    filters = _filters(arguments, shape, rank)
    windows = _transposed_windows(arguments, spatial, filters.kernel_size)
    for window in windows:
        if window.output < 1:
            raise InvalidLayerError(f"the output is empty: {window.formula}", "use less padding or a larger kernel")
    output = (*shape[: -rank - 1], filters.out_channels, *(window.output for window in windows))
    check_tensor_size("an output", output)
    depth = filters.out_channels // filters.groups
    macs = prod(shape) * depth * prod(filters.kernel_size)
    formula = f"{format_shape(shape[1:])} inputs * {'*'.join(map(str, (*filters.kernel_size, depth)))} = {macs}"
    return _convolution_info(filters, output, windows, macs, formula)


def unfold(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`Unfold` (im2col): C x H x W to C*prod(kernel_size) x positions of the kernel."""
    windows = _block_windows(arguments, spatial_size(shape, 2))
    check_windows(windows)
    columns = prod(window.output for window in windows)
    output = (*shape[:-3], shape[-3] * prod(window.kernel for window in windows), columns)
    check_tensor_size("an output", output)
    return LayerInfo(output, field="unknown", windows=windows)


def fold(arguments: Arguments, shape: Shape) -> LayerInfo:
    """`Fold` (col2im), the inverse of `Unfold`: overlapping values are summed."""
    spatial = arguments.sizes("output_size", 2, minimum=1, expand_single=False)
    windows = _block_windows(arguments, spatial)
    check_windows(windows)
    if len(shape) not in {2, 3}:
        raise InvalidLayerError(f"expects C*kernel_size x positions, got {format_sample(shape)}")
    block, columns = prod(window.kernel for window in windows), prod(window.output for window in windows)
    if shape[-2] % block:
        raise InvalidLayerError(f"{shape[-2]} rows are not divisible by the kernel's {block} values")
    if shape[-1] != columns:
        what = f"got {shape[-1]} columns, but {format_shape(spatial)} has {columns} positions of the kernel"
        raise InvalidLayerError(what)
    output = (*shape[:-2], shape[-2] // block, *spatial)
    check_tensor_size("an output", output)
    return LayerInfo(output, field="unknown", windows=windows)


def check_windows(windows: tuple[SlidingWindow, ...]) -> None:
    """Raise InvalidLayerError for a kernel that does not fit into the padded input."""
    for window in windows:
        if window.output < 1:
            padded = window.input_size + window.pad_before + window.pad_after
            what = f"a kernel that covers {window.effective_kernel} does not fit into {padded} (padding included)"
            raise InvalidLayerError(f"{what}: {window.formula}", "use a smaller kernel or more padding")


def _filters(arguments: Arguments, shape: Shape, rank: int) -> _Filters:
    in_channels, out_channels = arguments.integer("in_channels", 1), arguments.integer("out_channels", 1)
    groups = arguments.integer("groups", 1)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise InvalidLayerError(f"{name}={channels} is not divisible by groups={groups}", "use a common divisor")
    kernel_size = arguments.sizes("kernel_size", rank, minimum=1, expand_single=rank == 1)
    filters = _Filters(in_channels, out_channels, kernel_size, groups, bool(arguments["bias"]))
    check_tensor_size("a weight", (out_channels, in_channels // groups, *kernel_size))
    if shape[-rank - 1] != in_channels:
        raise _channel_mismatch(shape, in_channels, rank)
    return filters


def _channel_mismatch(shape: Shape, in_channels: int, rank: int) -> InvalidLayerError:
    if len(shape) == rank + 1:
        what = f"expects {in_channels} channels, got {format_sample(shape)} without channels"
        return InvalidLayerError(what, "write the channels first")
    what = f"expects {in_channels} channels, got {shape[1]} (the first size of the input {format_sample(shape)})"
    if shape[-1] == in_channels:
        return InvalidLayerError(what, f"channels come first: {format_shape((in_channels, *shape[1:-1]))}")
    return InvalidLayerError(what, f"write in_channels={shape[1]}, or fix the layer before")


def _windows(arguments: Arguments, spatial: Shape, kernel_size: Shape) -> tuple[SlidingWindow, ...]:
    rank = len(spatial)
    strides, dilations = arguments.sizes("stride", rank, minimum=1), arguments.sizes("dilation", rank, minimum=1)
    mode = arguments.choice("padding_mode", _PADDING_MODES)
    paddings = _paddings(arguments, kernel_size, strides, dilations)
    if mode != "zeros":
        for size, (before, after) in zip(spatial, paddings, strict=True):
            check_padding(mode, size, before, after)
    return tuple(
        SlidingWindow(size, kernel, stride, before, after, dilation)
        for size, kernel, stride, (before, after), dilation in zip(
            spatial, kernel_size, strides, paddings, dilations, strict=True
        )
    )


def _paddings(arguments: Arguments, kernel_size: Shape, strides: Shape, dilations: Shape) -> list[tuple[int, int]]:
    """The padding before and after each axis; with 'same', an odd total puts the extra position after."""
    padding = arguments["padding"]
    if not isinstance(padding, str):
        is_zeros = arguments["padding_mode"] == "zeros"
        minimum, expand_single = (0, True) if is_zeros else (-(2**62), len(kernel_size) == 1)
        sizes = arguments.sizes("padding", len(kernel_size), minimum, expand_single=expand_single)
        return [(size, size) for size in sizes]
    if arguments.choice("padding", ("same", "valid")) == "valid":
        return [(0, 0)] * len(kernel_size)
    if any(stride != 1 for stride in strides):
        shown = strides[0] if len(set(strides)) == 1 else strides
        what = f"padding='same' requires stride=1, got stride={shown}"
        raise InvalidLayerError(what, "use stride=1 or write the padding as a number")
    totals = [dilation * (kernel - 1) for kernel, dilation in zip(kernel_size, dilations, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]


def _transposed_windows(arguments: Arguments, spatial: Shape, kernel_size: Shape) -> tuple[TransposedWindow, ...]:
    rank = len(spatial)
    strides, dilations = arguments.sizes("stride", rank, minimum=1), arguments.sizes("dilation", rank, minimum=1)
    paddings = arguments.sizes("padding", rank, minimum=0)
    output_paddings = arguments.sizes("output_padding", rank, minimum=0)
    for output_padding, stride, dilation in zip(output_paddings, strides, dilations, strict=True):
        if output_padding >= max(stride, dilation):
            what = f"output_padding={output_padding} is not below stride={stride} or dilation={dilation}"
            raise InvalidLayerError(what, f"use at most {max(stride, dilation) - 1}")
    axes = zip(spatial, kernel_size, strides, paddings, dilations, output_paddings, strict=True)
    return tuple(TransposedWindow(*axis) for axis in axes)


def _block_windows(arguments: Arguments, spatial: Shape) -> tuple[SlidingWindow, ...]:
    kernel_size = arguments.sizes("kernel_size", 2, minimum=1, expand_single=False)
    strides = arguments.sizes("stride", 2, minimum=1, expand_single=False)
    dilations = arguments.sizes("dilation", 2, minimum=1, expand_single=False)
    paddings = arguments.sizes("padding", 2, minimum=0, expand_single=False)
    return tuple(
        SlidingWindow(size, kernel, stride, padding, padding, dilation)
        for size, kernel, stride, padding, dilation in zip(
            spatial, kernel_size, strides, paddings, dilations, strict=True
        )
    )


def _convolution_info(
    filters: _Filters,
    output: Shape,
    windows: tuple[SlidingWindow, ...] | tuple[TransposedWindow, ...],
    macs: int,
    macs_formula: str,
) -> LayerInfo:
    return LayerInfo(
        output,
        parameters=filters.parameters,
        macs=macs,
        bias_adds=prod(output) * filters.has_bias,
        field=layer_field(window.field for window in windows),
        windows=windows,
        count_formulas=(("parameters", filters.formula), ("MACs", macs_formula)),
    )
