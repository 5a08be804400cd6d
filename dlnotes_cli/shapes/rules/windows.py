"""Layers with a kernel that moves over the input: convolution, pooling, Unfold and Fold; and padding.

Output sizes and weights are those of the PyTorch documentation of each layer.
"""

from collections.abc import Callable, Iterable, Sequence
from math import isfinite, prod

from dlnotes_cli.shapes.layer import (
    INT64,
    LayerInfo,
    Shape,
    format_sample,
    format_shape,
    require,
    spatial_size,
)  # fmt: skip
from dlnotes_cli.shapes.receptive_field import AxisField, adaptive_field, layer_field
from dlnotes_cli.shapes.rules.arguments import Arguments, integer, sizes
from dlnotes_cli.shapes.sliding_window import SlidingWindow, TransposedWindow

_INT32 = 2**31 - 1  # the range of arguments of torch's pooling over two and three axes
Pairs = Sequence[tuple[int, int]]  # positions before and after each axis

# Whether a padding mode allows the positions before and after an axis of a size, and what is wrong if not.
_PADDING_LIMITS: dict[str, tuple[Callable[[int, int, int], bool], str]] = {
    "constant": (lambda size, a, b: min(a, 0) + min(b, 0) + size >= 0, "crops more than the input has"),
    "reflect": (lambda size, a, b: max(a, b) < size, "must be smaller than that size"),
    "replicate": (lambda _size, _a, _b: True, ""),
    "circular": (lambda size, a, b: -size <= min(a, b) <= max(a, b) <= size, "must not wrap around more than once"),
}


def convolution(a: Arguments, shape: Shape) -> LayerInfo:
    """`Conv1d` to `Conv3d`."""
    spatial, paddings = _checked_channels(a, shape), _paddings(a)
    if a.padding_mode != "zeros":
        _check_padding(a.padding_mode, spatial, paddings)
    return _convolved(a, shape, sliding_windows(spatial, a.kernel_size, a.stride, paddings, a.dilation))


def transposed_convolution(a: Arguments, shape: Shape) -> LayerInfo:
    """`ConvTranspose1d` to `ConvTranspose3d`."""
    spatial = _checked_channels(a, shape)
    for output_padding, stride, dilation in zip(a.output_padding, a.stride, a.dilation, strict=True):
        what = f"output_padding={output_padding} is not below stride={stride} or dilation={dilation}"
        require(output_padding < max(stride, dilation), what, f"use at most {max(stride, dilation) - 1}")
    axes = zip(spatial, a.kernel_size, a.stride, a.padding, a.dilation, a.output_padding, strict=True)
    windows = [TransposedWindow(*axis) for axis in axes]
    for window in windows:
        what = f"the output is empty: {window.formula}"
        require(window.output > 0, what, "use less padding or a larger kernel")
    return _convolved(a, shape, windows)


def _checked_channels(a: Arguments, shape: Shape) -> Shape:
    """The spatial size of an input whose channels are those of a convolution."""
    spatial = spatial_size(shape, a.rank)
    for name in ("in_channels", "out_channels"):
        what = f"{name}={vars(a)[name]} is not divisible by groups={a.groups}"
        require(vars(a)[name] % a.groups == 0, what, "use a common divisor")
    is_equal, what = shape[-a.rank - 1] == a.in_channels, f"expects {a.in_channels} channels, got "
    is_sample = is_equal or len(shape) > a.rank + 1
    require(is_sample, f"{what}{format_sample(shape)} without channels", "write the channels first")
    fix = f"write in_channels={shape[1]}, or fix the layer before"
    if shape[-1] == a.in_channels:
        fix = f"channels come first: {format_shape((a.in_channels, *shape[1:-1]))}"
    require(is_equal, f"{what}{shape[1]} (the first size of the input {format_sample(shape)})", fix)
    return spatial


def _paddings(a: Arguments) -> Pairs:
    """The padding before and after each axis; with 'same', an odd total puts the extra position after."""
    if not isinstance(a.padding, str):
        is_zeros = a.padding_mode == "zeros"
        amounts = sizes("padding", a.padding, a.rank, 0 if is_zeros else -INT64, expands=is_zeros)
        return list(zip(amounts, amounts, strict=True))
    require(a.padding in {"same", "valid"}, f"padding={a.padding!r} is unknown", "choose from same, valid")
    what = f"padding='same' requires stride=1, got stride={a.stride[0] if len({*a.stride}) == 1 else a.stride}"
    is_same = a.padding == "same"
    require(not is_same or {*a.stride} == {1}, what, "use stride=1 or write the padding as a number")
    totals = [(k - 1) * d * is_same for k, d in zip(a.kernel_size, a.dilation, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]


def _convolved(a: Arguments, shape: Shape, windows: Sequence[SlidingWindow | TransposedWindow]) -> LayerInfo:
    """Each output value of a convolution, or input value of a transposed one, is multiplied with some kernels."""
    output = (*shape[: -a.rank - 1], a.out_channels, *(window.output for window in windows))
    kernel, biases = "*".join(map(str, a.kernel_size)), a.out_channels * bool(a.bias)
    if "Transpose" in a.layer:
        positions, kind, depth = shape, "inputs", a.out_channels // a.groups
    else:
        positions, kind, depth = output, "outputs", a.in_channels // a.groups
    parameters = a.in_channels * a.out_channels * prod(a.kernel_size) // a.groups + biases
    macs = prod(positions) * prod(a.kernel_size) * depth
    weights = f"{a.out_channels} * {kernel} * {a.in_channels}{'' if a.groups == 1 else f'/{a.groups}'}"
    text = f"({weights}) + {a.out_channels}" if biases else weights
    return LayerInfo(
        output,
        parameters=parameters,
        macs=macs,
        bias_adds=prod(output) * bool(a.bias),
        field=layer_field(window.field for window in windows),
        windows=tuple(windows),
        count_formulas=(
            ("parameters", f"{text} = {parameters}"),
            ("MACs", f"{format_shape(positions[1:])} {kind} * {kernel}*{depth} = {macs}"),
        ),
    )


def sliding_windows(
    spatial: Shape, kernel_size: Shape, stride: Shape, paddings: Pairs, dilation: Shape, *, ceil_mode: bool = False
) -> tuple[SlidingWindow, ...]:
    """The window along each axis; raises InvalidLayerError for a kernel that does not fit into the padded input."""
    windows = tuple(
        SlidingWindow(size, kernel, step, *padding, gap, ceil_mode)
        for size, kernel, step, padding, gap in zip(spatial, kernel_size, stride, paddings, dilation, strict=True)
    )
    for window in windows:
        padded = window.input_size + window.pad_before + window.pad_after
        what = f"a kernel that covers {window.effective_kernel} does not fit into {padded} (padding included)"
        require(window.output > 0, f"{what}: {window.formula}", "use a smaller kernel or more padding")
    return windows


def unfold(a: Arguments, shape: Shape) -> LayerInfo:
    """`Unfold` (im2col): C x H x W to C*prod(kernel_size) x positions of the kernel."""
    windows = _blocks(a, spatial_size(shape, 2))
    columns = prod(window.output for window in windows)
    return LayerInfo((*shape[:-3], shape[-3] * prod(a.kernel_size), columns), field="unknown", windows=windows)


def fold(a: Arguments, shape: Shape) -> LayerInfo:
    """`Fold` (col2im), the inverse of `Unfold`: overlapping values are summed."""
    windows = _blocks(a, a.output_size)
    require(len(shape) in {2, 3}, f"expects C*kernel_size x positions, got {format_sample(shape)}")
    block, columns = prod(a.kernel_size), prod(window.output for window in windows)
    require(shape[-2] % block == 0, f"{shape[-2]} rows are not divisible by the kernel's {block} values")
    what = f"got {shape[-1]} columns, but {format_shape(a.output_size)} has {columns} positions of the kernel"
    require(shape[-1] == columns, what)
    return LayerInfo((*shape[:-2], shape[-2] // block, *a.output_size), field="unknown", windows=windows)


def _blocks(a: Arguments, spatial: Shape) -> tuple[SlidingWindow, ...]:
    return sliding_windows(spatial, a.kernel_size, a.stride, [(size, size) for size in a.padding], a.dilation)


def pool(a: Arguments, shape: Shape) -> LayerInfo:
    """`MaxPool`, `AvgPool` and `LPPool`; the stride defaults to the kernel size."""
    spatial, kernel_size = spatial_size(shape, a.rank), sizes("kernel_size", a.kernel_size, a.rank, 1)
    padding, dilation = vars(a).get("padding", (0,) * a.rank), vars(a).get("dilation", (1,) * a.rank)
    stride = kernel_size if a.stride in (None, (), []) else sizes("stride", a.stride, a.rank, 1, expands=True)
    for kernel, amount in zip(kernel_size, padding, strict=True):
        what = f"padding={amount} is more than half of kernel_size={kernel}"
        require(amount <= kernel // 2, what, f"use at most {kernel // 2}")
    largest = max(*kernel_size, *padding, *stride, *dilation)
    require(a.rank == 1 or largest <= _INT32, f"{largest} does not fit in 32 bits", "use a smaller number")
    norm, divisor = vars(a).get("norm_type", 1), vars(a).get("divisor_override")
    require(norm, "norm_type=0 is not a norm", "use another power")
    has_divisor = divisor is None or integer("divisor_override", divisor)
    require(has_divisor, "divisor_override=0 divides by zero", "use another number, or None")
    is_mean = "Max" not in a.layer and isfinite(norm)  # also a norm, which torch computes by average pooling
    fits = all(size >= kernel for size, kernel in zip(spatial, kernel_size, strict=True))
    what = f"kernel_size={kernel_size} is larger than the input's {format_shape(spatial)}, without padding"
    require(fits or not is_mean or not a.layer.endswith("3d"), what, "use a smaller kernel")
    pairs = [(amount, amount) for amount in padding]
    windows = sliding_windows(spatial, kernel_size, stride, pairs, dilation, ceil_mode=a.ceil_mode)
    return LayerInfo(
        (*shape[: -a.rank], *(window.output for window in windows)),
        returns_indices=bool(vars(a).get("return_indices")),
        field=tuple(window.field for window in windows),
        windows=windows,
    )


def adaptive_pool(a: Arguments, shape: Shape) -> LayerInfo:
    """`AdaptiveAvgPool` and `AdaptiveMaxPool`: window i reads floor(i*W/output_size) to ceil((i + 1)*W/output_size).

    A None in `output_size` keeps the size of that axis. As in torch, an average pool of output size 1 accepts a shape
    of any length and reduces its last axes.
    """
    requested = a.output_size
    if a.rank > 1 and isinstance(requested, tuple | list) and len(requested) == a.rank <= len(shape):
        requested = [s if out is None else out for s, out in zip(shape[-a.rank :], requested, strict=True)]
    outputs = sizes("output_size", requested, a.rank, 1)
    is_global_mean = "Avg" in a.layer and {*outputs} == {1} and 1 < a.rank < len(shape)
    pairs = list(zip(shape[-a.rank :] if is_global_mean else spatial_size(shape, a.rank), outputs, strict=True))
    return LayerInfo(
        (*shape[: -a.rank], *outputs),
        returns_indices=bool(vars(a).get("return_indices")),
        field=layer_field(adaptive_field(size, out) for size, out in pairs),
        size_formulas=tuple(
            f"{out}, window i from floor(i*{size}/{out}) to ceil((i + 1)*{size}/{out})" for size, out in pairs
        ),
    )


def pad(a: Arguments, shape: Shape) -> LayerInfo:
    """`ZeroPad`, `ConstantPad`, `ReflectionPad`, `ReplicationPad`, `CircularPad`: W + before + after on each axis."""
    modes = {"Reflection": "reflect", "Replication": "replicate", "Circular": "circular"}
    mode = modes.get(a.layer.partition("Pad")[0], "constant")
    count = len(a.padding) if isinstance(a.padding, tuple | list) else 2 * a.rank
    flat = sizes("padding", a.padding, count, -INT64)
    what = f"padding={a.padding!r} has {count} numbers"
    require(count % 2 == 0, what, "use one number, or a pair for each axis")
    pairs = list(zip(flat[::2], flat[1::2], strict=True))[::-1]  # PyTorch's argument starts with the last axis
    axes = len(pairs)
    if mode == "constant":
        require(axes <= len(shape), f"pads {axes} axes, got {format_sample(shape)}")
    else:
        allowed = {axes + 1, axes + 2} & ({a.rank + 1, a.rank + 2} if mode == "circular" else {axes + 1, axes + 2})
        what = f"pads {axes} axes of a shape with {axes + 1}, got {format_sample(shape)}"
        require(len(shape) in allowed, what)
    padded = shape[len(shape) - axes :]
    _check_padding(mode, padded, pairs)
    new = [size + before + after for size, (before, after) in zip(padded, pairs, strict=True)]
    texts = (f"{size} + {b} + {c} = {n}" for size, (b, c), n in zip(padded, pairs, new, strict=True))
    field = tuple(AxisField((-before,), (-before,), 1) for before, _ in pairs)
    return LayerInfo((*shape[: len(shape) - axes], *new), field=field, size_formulas=tuple(texts))


def _check_padding(mode: str, spatial: Iterable[int], paddings: Pairs) -> None:
    """Raise InvalidLayerError where PyTorch rejects the padding of an axis; negative padding crops."""
    is_allowed, problem = _PADDING_LIMITS[mode]
    for size, (before, after) in zip(spatial, paddings, strict=True):
        what = f"{mode} padding of {before} and {after} on a size of {size} {problem}"
        require(is_allowed(size, before, after), what, "use less padding")
        padded = size + before + after
        require(padded > 0, f"the output is empty: {size} + {before} + {after} = {padded}", "crop less")
