"""Convolutions, transposed convolutions, and the sliding blocks of Unfold and Fold."""

from math import prod
from typing import NamedTuple

from dlnotes_cli.shapes.layer import Effect, RefusedError, Shape, check_size, dims, sample, space_of
from dlnotes_cli.shapes.rules.arguments import Arguments
from dlnotes_cli.shapes.rules.padding import check_pad
from dlnotes_cli.shapes.rules.windows import Slide, Transposed, followed

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Filters(NamedTuple):
    """The filters of a convolution; parameters (K * F*F * D_in / groups) + K."""

    inputs: int
    outputs: int
    kernel: Shape
    groups: int
    has_bias: bool

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs * prod(self.kernel) // self.groups

    @property
    def parameters(self) -> int:
        return self.weights + self.outputs * self.has_bias

    @property
    def formula(self) -> str:
        depth = str(self.inputs) if self.groups == 1 else f"{self.inputs}/{self.groups}"
        text = f"{self.outputs} * {'*'.join(map(str, self.kernel))} * {depth}"
        return f"({text}) + {self.outputs} = {self.parameters}" if self.has_bias else f"{text} = {self.parameters}"


def convolution(given: Arguments, shape: Shape, rank: int) -> Effect:
    """A convolution over `rank` axes: floor((W - D*(F - 1) - 1 + 2*P) / S) + 1 positions on each."""
    space = space_of(shape, rank)
    filters = _filters(given, shape, rank)
    slides = _slides(given, space, filters.kernel)
    check_slides(slides)
    output = (*shape[: -rank - 1], filters.outputs, *(slide.output for slide in slides))
    check_size("an output", output)
    depth = filters.inputs // filters.groups
    macs = prod(output) * depth * prod(filters.kernel)
    each = f"{dims(output[1:])} outputs * {'*'.join(map(str, (*filters.kernel, depth)))}"
    return _convolved(filters, output, slides, (macs, f"{each} = {macs}"))


def transposed_convolution(given: Arguments, shape: Shape, rank: int) -> Effect:
    """A transposed convolution: (W - 1)*S - 2*P + D*(F - 1) + 1 + output_padding positions on each axis.

    Every input value meets every filter once, so its multiply-adds are counted over the input's positions.
    """
    space = space_of(shape, rank)
    given.word("padding_mode", ("zeros",))
    filters = _filters(given, shape, rank)
    slides = _transposed_slides(given, space, filters.kernel)
    for slide in slides:
        if slide.output < 1:
            raise RefusedError(f"nothing is left: {slide.formula}", "use less padding or a larger kernel")
    output = (*shape[: -rank - 1], filters.outputs, *(slide.output for slide in slides))
    check_size("an output", output)
    depth = filters.outputs // filters.groups
    macs = prod(shape) * depth * prod(filters.kernel)
    each = f"{dims(shape[1:])} inputs * {'*'.join(map(str, (*filters.kernel, depth)))}"
    return _convolved(filters, output, slides, (macs, f"{each} = {macs}"))


def unfold(given: Arguments, shape: Shape) -> Effect:
    """Cut C x H x W into columns, one for each position of the kernel: C*F*F x positions."""
    space = space_of(shape, 2)
    slides = _block_slides(given, space)
    check_slides(slides)
    columns = prod(slide.output for slide in slides)
    output = (*shape[:-3], shape[-3] * prod(slide.kernel for slide in slides), columns)
    check_size("an output", output)
    return Effect(output, reach="lost", slides=slides)


def fold(given: Arguments, shape: Shape) -> Effect:
    """Add columns up into C x H x W, the reverse of `unfold`."""
    space = given.sizes("output_size", 2, least=1, single=False)
    slides = _block_slides(given, space)
    check_slides(slides)
    if len(shape) not in {2, 3}:
        raise RefusedError(f"takes columns, C*F*F x positions; got {sample(shape)}")
    block, columns = prod(slide.kernel for slide in slides), prod(slide.output for slide in slides)
    if shape[-2] % block:
        raise RefusedError(f"{shape[-2]} rows do not divide by the kernel's {block} values")
    if shape[-1] != columns:
        raise RefusedError(f"got {shape[-1]} columns, but {dims(space)} has {columns} positions of the kernel")
    output = (*shape[:-2], shape[-2] // block, *space)
    check_size("an output", output)
    return Effect(output, reach="lost", slides=slides)


def check_slides(slides: tuple[Slide, ...]) -> None:
    """Refuse a kernel that does not fit into the padded input."""
    for slide in slides:
        if slide.output < 1:
            padded = slide.size + slide.before + slide.after
            what = f"a kernel that covers {slide.extent} does not fit into {padded} (padding included)"
            raise RefusedError(f"{what}: {slide.formula}", "use a smaller kernel or more padding")


def _filters(given: Arguments, shape: Shape, rank: int) -> _Filters:
    inputs, outputs = given.whole("in_channels", 1), given.whole("out_channels", 1)
    groups = given.whole("groups", 1)
    for name, channels in (("in_channels", inputs), ("out_channels", outputs)):
        if channels % groups:
            raise RefusedError(
                f"{name}={channels} does not divide by groups={groups}", "choose groups that divide both"
            )
    kernel = given.sizes("kernel_size", rank, least=1, single=rank == 1)
    filters = _Filters(inputs, outputs, kernel, groups, bool(given["bias"]))
    check_size("a weight", (outputs, inputs // groups, *kernel))
    if shape[-rank - 1] != inputs:
        raise _channel_mismatch(shape, inputs, rank)
    return filters


def _channel_mismatch(shape: Shape, inputs: int, rank: int) -> RefusedError:
    if len(shape) == rank + 1:
        return RefusedError(f"takes {inputs} channels, got {sample(shape)} without any", "write the channels first")
    what = f"takes {inputs} channels, got {shape[1]} (the first of {sample(shape)})"
    if shape[-1] == inputs:
        return RefusedError(what, f"channels come first: {dims((inputs, *shape[1:-1]))}")
    return RefusedError(what, f"write in_channels={shape[1]}, or mend the layer before")


def _slides(given: Arguments, space: Shape, kernel: Shape) -> tuple[Slide, ...]:
    rank = len(space)
    strides, dilations = given.sizes("stride", rank, least=1), given.sizes("dilation", rank, least=1)
    mode = given.word("padding_mode", _PADDING_MODES)
    pads = _pads(given, kernel, strides, dilations)
    if mode != "zeros":
        for size, (before, after) in zip(space, pads, strict=True):
            check_pad(mode, size, before, after)
    return tuple(
        Slide(size, width, stride, before, after, dilation)
        for size, width, stride, (before, after), dilation in zip(space, kernel, strides, pads, dilations, strict=True)
    )


def _pads(given: Arguments, kernel: Shape, strides: Shape, dilations: Shape) -> list[tuple[int, int]]:
    """The padding before and after each axis; 'same' puts the odd one after."""
    padding = given["padding"]
    if not isinstance(padding, str):
        in_place = given["padding_mode"] == "zeros"
        sizes = given.sizes(
            "padding", len(kernel), least=0 if in_place else -(2**62), single=in_place or len(kernel) == 1
        )
        return [(size, size) for size in sizes]
    if given.word("padding", ("same", "valid")) == "valid":
        return [(0, 0)] * len(kernel)
    if any(stride != 1 for stride in strides):
        shown = strides[0] if len(set(strides)) == 1 else strides
        raise RefusedError(
            f"padding='same' does not go with stride={shown}", "use stride=1 or give padding as a number"
        )
    totals = [dilation * (width - 1) for width, dilation in zip(kernel, dilations, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]


def _transposed_slides(given: Arguments, space: Shape, kernel: Shape) -> tuple[Transposed, ...]:
    rank = len(space)
    strides, dilations = given.sizes("stride", rank, least=1), given.sizes("dilation", rank, least=1)
    paddings, extras = given.sizes("padding", rank, least=0), given.sizes("output_padding", rank, least=0)
    for extra, stride, dilation in zip(extras, strides, dilations, strict=True):
        if extra >= max(stride, dilation):
            what = f"output_padding={extra} is not below stride={stride} or dilation={dilation}"
            raise RefusedError(what, f"use at most {max(stride, dilation) - 1}")
    return tuple(Transposed(*axis) for axis in zip(space, kernel, strides, paddings, dilations, extras, strict=True))


def _block_slides(given: Arguments, space: Shape) -> tuple[Slide, ...]:
    kernel, strides = (given.sizes(name, 2, least=1, single=False) for name in ("kernel_size", "stride"))
    dilations, paddings = given.sizes("dilation", 2, least=1, single=False), given.sizes("padding", 2, 0, single=False)
    return tuple(
        Slide(size, width, stride, padding, padding, dilation)
        for size, width, stride, padding, dilation in zip(space, kernel, strides, paddings, dilations, strict=True)
    )


def _convolved(
    filters: _Filters, output: Shape, slides: tuple[Slide, ...] | tuple[Transposed, ...], macs: tuple[int, str]
) -> Effect:
    return Effect(
        output,
        parameters=filters.parameters,
        macs=macs[0],
        bias_adds=prod(output) * filters.has_bias,
        reach=followed(slide.window for slide in slides),
        slides=slides,
        formulas=(("parameters", filters.formula), ("MACs", macs[1])),
    )
