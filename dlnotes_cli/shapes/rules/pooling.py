"""Pooling: sliding windows, and adaptive windows that divide the input into a fixed number of outputs."""

from math import isfinite

from dlnotes_cli.shapes.layer import InvalidLayerError, LayerInfo, Shape, check_tensor_size, spatial_size
from dlnotes_cli.shapes.receptive_field import adaptive_field, layer_field
from dlnotes_cli.shapes.rules.arguments import Arguments
from dlnotes_cli.shapes.rules.convolution import check_windows
from dlnotes_cli.shapes.sliding_window import SlidingWindow

INT32 = 2**31 - 1  # the range of arguments of torch's pooling over two and three axes


def max_pool(arguments: Arguments, shape: Shape, rank: int) -> LayerInfo:
    """`MaxPool1d` to `MaxPool3d`: the maximum of each window, which may be dilated."""
    paddings, dilations = arguments.sizes("padding", rank, minimum=0), arguments.sizes("dilation", rank, minimum=1)
    return _pool(arguments, shape, paddings, dilations)


def average_pool(arguments: Arguments, shape: Shape, rank: int) -> LayerInfo:
    """`AvgPool1d` to `AvgPool3d`: the mean of each window."""
    arguments.boolean("count_include_pad")
    if arguments.get("divisor_override") is not None and not arguments.integer("divisor_override"):
        raise InvalidLayerError("divisor_override=0 divides by zero", "use another number, or None")
    pooled = _pool(arguments, shape, arguments.sizes("padding", rank, minimum=0), (1,) * rank)
    _check_average_pool3d(pooled)
    return pooled


def power_pool(arguments: Arguments, shape: Shape, rank: int) -> LayerInfo:
    """`LPPool1d` to `LPPool3d`: the p-norm of each window; an infinite p gives the maximum."""
    power = arguments.number("norm_type")
    if not power:
        raise InvalidLayerError("norm_type=0 is not a norm", "use another power")
    if rank == 1:
        arguments.integer("kernel_size")
    arguments.sizes("kernel_size", rank, expand_single=False)
    pooled = _pool(arguments, shape, (0,) * rank, (1,) * rank)
    if isfinite(power):  # torch computes it by average pooling
        _check_average_pool3d(pooled)
    return pooled


def adaptive_pool(arguments: Arguments, shape: Shape, rank: int, *, is_mean: bool) -> LayerInfo:
    """`AdaptiveAvgPool` and `AdaptiveMaxPool`: window i reads floor(i*W/output_size) to ceil((i + 1)*W/output_size).

    A None in `output_size` keeps the size of that axis. As in torch, an average pool of output size 1 accepts a shape
    of any length and reduces its last axes.
    """
    requested = arguments["output_size"]
    if rank > 1 and isinstance(requested, tuple | list) and len(requested) == rank <= len(shape):
        filled = tuple(
            size if output is None else output for size, output in zip(shape[-rank:], requested, strict=True)
        )
        arguments = arguments.updated({"output_size": filled})
    sizes = arguments.sizes("output_size", rank, minimum=1, expand_single=False)
    is_global_mean = is_mean and set(sizes) == {1} and 1 < rank < len(shape)
    spatial = shape[-rank:] if is_global_mean else spatial_size(shape, rank)
    output = (*shape[:-rank], *sizes)
    check_tensor_size("an output", output)
    formulas = tuple(
        f"{out}, window i from floor(i*{size}/{out}) to ceil((i + 1)*{size}/{out})"
        for size, out in zip(spatial, sizes, strict=True)
    )
    field = layer_field(adaptive_field(size, out) for size, out in zip(spatial, sizes, strict=True))
    return LayerInfo(output, returns_indices=_returns_indices(arguments), field=field, size_formulas=formulas)


def _check_average_pool3d(pooled: LayerInfo) -> None:
    """`AvgPool3d` requires an input, without its padding, as large as the kernel."""
    for window in pooled.windows if len(pooled.windows) == 3 else ():  # noqa: PLR2004  # depth, height and width
        if isinstance(window, SlidingWindow) and window.input_size < window.kernel:
            what = f"kernel_size={window.kernel} is larger than the input's {window.input_size}, without padding"
            raise InvalidLayerError(what, "use a smaller kernel")


def _pool(arguments: Arguments, shape: Shape, paddings: Shape, dilations: Shape) -> LayerInfo:
    """floor((W + 2*padding - dilation*(kernel_size - 1) - 1) / stride) + 1, from the PyTorch documentation.

    `ceil_mode` rounds up instead; the stride defaults to the kernel size.
    """
    rank = len(paddings)
    spatial = spatial_size(shape, rank)
    kernel_size = arguments.sizes("kernel_size", rank, minimum=1)
    has_stride = arguments["stride"] not in (None, (), [])
    strides = arguments.sizes("stride", rank, minimum=1) if has_stride else kernel_size
    _check_arguments(kernel_size, paddings, (*strides, *dilations))
    ceil_mode = arguments.boolean("ceil_mode")
    windows = tuple(
        SlidingWindow(size, kernel, stride, padding, padding, dilation, ceil_mode)
        for size, kernel, stride, padding, dilation in zip(
            spatial, kernel_size, strides, paddings, dilations, strict=True
        )
    )
    check_windows(windows)
    output = (*shape[:-rank], *(window.output for window in windows))
    check_tensor_size("an output", output)
    return LayerInfo(
        output,
        returns_indices=_returns_indices(arguments),
        field=tuple(window.field for window in windows),
        windows=windows,
    )


def _check_arguments(kernel_size: Shape, paddings: Shape, others: Shape) -> None:
    for kernel, padding in zip(kernel_size, paddings, strict=True):
        if padding > kernel // 2:
            what = f"padding={padding} is more than half of kernel_size={kernel}"
            raise InvalidLayerError(what, f"use at most {kernel // 2}")
    largest = max(*kernel_size, *paddings, *others)
    if len(kernel_size) > 1 and largest > INT32:
        raise InvalidLayerError(f"{largest} does not fit in 32 bits", "use a smaller number")


def _returns_indices(arguments: Arguments) -> bool:
    return bool(arguments.get("return_indices"))
