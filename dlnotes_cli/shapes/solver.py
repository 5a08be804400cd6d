"""Solving the output-size formula for one hyperparameter: every value that gives a target output size."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlnotes_cli.shapes.choices import Hyperparameter
from dlnotes_cli.shapes.layer import INT64, Layer, Shape
from dlnotes_cli.shapes.sliding_window import SlidingWindow, TransposedWindow
from dlnotes_cli.shapes.tracing import trace
from dlnotes_cli.shell.errors import InputError


@dataclass(frozen=True)
class WindowSpec:
    """A convolution or pooling window along one axis: W is `input_size`, F `kernel`, S `stride` and P `padding`.

    A `stride` of None follows the kernel, as in PyTorch's pooling layers. Pooling allows at most half the kernel as
    padding.
    """

    input_size: int
    kernel: int = 1
    stride: int | None = 1
    padding: int = 0
    dilation: int = 1
    output_padding: int = 0
    is_transposed: bool = False
    is_pool: bool = False
    ceil_mode: bool = False

    @property
    def window(self) -> SlidingWindow | TransposedWindow:
        """The window with its output size and formula."""
        size, kernel, padding = self.input_size, self.kernel, self.padding
        stride = kernel if self.stride is None else self.stride
        if self.is_transposed:
            return TransposedWindow(size, kernel, stride, padding, self.dilation, self.output_padding)
        return SlidingWindow(size, kernel, stride, padding, padding, self.dilation, self.ceil_mode)

    def with_value(self, name: Hyperparameter, value: int) -> "WindowSpec":
        """A copy with another value of one hyperparameter."""
        changed: dict[str, Any] = {name: value}
        return replace(self, **changed)


@dataclass(frozen=True)
class Solutions:
    """The values from `lowest` to `highest` that give the target size; a `highest` of None means no upper limit."""

    lowest: int
    highest: int | None

    def first(self, count: int) -> range:
        """The first `count` values."""
        last = self.lowest + count - 1
        return range(self.lowest, (last if self.highest is None else min(last, self.highest)) + 1)


def solve(unknown: Hyperparameter, target: int, axes: Sequence[WindowSpec]) -> Solutions:
    """Find every value of `unknown` that gives the output size `target` along each axis.

    The value that an axis has for `unknown` is ignored. Raises InputError with the nearest sizes where there is none.

    >>> solve("padding", 130, [WindowSpec(130, kernel=3)])
    Solutions(lowest=1, highest=1)
    >>> solve("stride", 1, [WindowSpec(8, kernel=3)])
    Solutions(lowest=6, highest=None)
    """
    solutions = [_solve_axis(unknown, target, axis) for axis in axes]
    lowest = max(solution.lowest for solution in solutions)
    highest = min((solution.highest for solution in solutions if solution.highest is not None), default=None)
    if highest is not None and highest < lowest:
        raise InputError("--want", f"no {unknown} gives {target} on every axis", "solve one axis at a time with -W")
    return Solutions(lowest, highest)


def layer_axes(layer: Layer, shape: Shape) -> tuple[WindowSpec, ...]:
    """The axes of a convolution or pooling layer applied to one sample of `shape`; raises InputError for others."""
    traced = trace([layer], shape)[-1]
    is_pool = "Pool" in layer.name
    if not traced.windows or layer.name in {"Fold", "Unfold"}:
        what = f"{layer.text} has no sliding kernel"
        raise InputError("--solve", what, "use it with a convolution or pooling layer")
    axes = tuple(_spec(window, is_pool=is_pool) for window in traced.windows)
    if is_pool and all(window.kernel == window.stride for window in traced.windows) and not _has_stride(layer):
        axes = tuple(replace(axis, stride=None) for axis in axes)
    return axes


def _spec(window: SlidingWindow | TransposedWindow, *, is_pool: bool) -> WindowSpec:
    if isinstance(window, TransposedWindow):
        return WindowSpec(
            window.input_size,
            window.kernel,
            window.stride,
            window.padding,
            window.dilation,
            window.output_padding,
            is_transposed=True,
        )
    if window.pad_before != window.pad_after:
        raise InputError("--solve", "the padding differs between the two sides", "write the padding as a number")
    return WindowSpec(
        window.input_size,
        window.kernel,
        window.stride,
        window.pad_before,
        window.dilation,
        is_pool=is_pool,
        ceil_mode=window.ceil_mode,
    )


def _has_stride(layer: Layer) -> bool:
    """Whether a pooling layer's call states its stride."""
    index = 2 if layer.name.startswith("LP") else 1
    return len(layer.positional) > index or any(name == "stride" for name, _ in layer.keywords)


def _solve_axis(unknown: Hyperparameter, target: int, axis: WindowSpec) -> Solutions:
    """Bisect the candidates, along which the output size is monotonic."""
    candidates = _candidates(unknown, target, axis)

    def size(value: int) -> int:
        return axis.with_value(unknown, value).window.output

    sign = 1 if _is_increasing(unknown, axis) else -1
    left = bisect_left(candidates, sign * target, key=lambda value: sign * size(value))
    right = bisect_right(candidates, sign * target, key=lambda value: sign * size(value))
    if left == right:
        nearest = [(value, size(value)) for value in candidates[max(left - 1, 0) : left + 1]]
        raise _no_solution(unknown, target, nearest)
    is_unlimited = (unknown == "stride" or _fits_any_kernel(unknown, axis)) and right == len(candidates)
    return Solutions(candidates[left], None if is_unlimited else candidates[right - 1])


def _is_increasing(unknown: Hyperparameter, axis: WindowSpec) -> bool:
    """Whether the output size increases with the unknown; otherwise it decreases."""
    if unknown == "stride" and axis.ceil_mode and axis.window.effective_kernel > axis.input_size + 2 * axis.padding:
        return True  # ceil_mode gives a kernel wider than its input one window, if the stride is long enough
    return axis.is_transposed == (unknown != "padding")


def _candidates(unknown: Hyperparameter, target: int, axis: WindowSpec) -> range:
    """The values that PyTorch accepts, up to the largest that can give `target`."""
    padded = axis.input_size + 2 * axis.padding
    stride = axis.kernel if axis.stride is None else axis.stride
    if unknown == "output_padding" and not axis.is_transposed:
        raise InputError("--solve", "output_padding belongs to transposed convolutions", "use ConvTranspose2d")
    if unknown == "output_padding":
        return range(max(stride, axis.dilation))
    if unknown == "padding" and axis.is_pool:
        return range(axis.kernel // 2 + 1)
    if unknown == "kernel":
        smallest = max(2 * axis.padding, 1) if axis.is_pool else 1
        return range(smallest, _within_int64(_largest_kernel(target, padded, axis)) + 1)
    if unknown == "stride":
        smallest = axis.output_padding + 1 if axis.output_padding >= axis.dilation else 1
        return range(smallest, _within_int64(target + padded + axis.kernel * axis.dilation) + 1)
    return range(_within_int64(target * stride + axis.window.effective_kernel + axis.input_size * stride) + 1)


def _largest_kernel(target: int, padded: int, axis: WindowSpec) -> int:
    """The largest kernel that can give `target` on an input of `padded` positions."""
    if axis.is_transposed or _fits_any_kernel("kernel", axis):
        return target + padded
    if not axis.ceil_mode:
        return padded // axis.dilation + 1
    if axis.stride is None:
        return (padded - 1) // (axis.dilation - 1) + 1
    return (padded + axis.stride) // axis.dilation + 1


def _fits_any_kernel(unknown: Hyperparameter, axis: WindowSpec) -> bool:
    """Whether every kernel size, however large, keeps one window, as in ceil_mode with a stride equal to the kernel."""
    return unknown == "kernel" and axis.ceil_mode and axis.stride is None and axis.dilation == 1


def _within_int64(value: int) -> int:
    return min(value, INT64 - 1)


def _no_solution(unknown: Hyperparameter, target: int, nearest: list[tuple[int, int]]) -> InputError:
    sizes = ", ".join(f"{unknown}={value} gives {size}" for value, size in nearest if size > 0)
    return InputError("--want", f"no {unknown} gives {target}", sizes or "use a smaller size")
