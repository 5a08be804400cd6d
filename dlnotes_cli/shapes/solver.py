"""Solving the output-size formula for one hyperparameter: every value that gives a target output size."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from dlnotes_cli.shapes.choices import Hyperparameter
from dlnotes_cli.shapes.layer import INT64, Layer, Shape
from dlnotes_cli.shapes.sliding_window import SlidingWindow, TransposedWindow
from dlnotes_cli.shapes.tracing import trace
from dlnotes_cli.shell.errors import InputError, require


class Axis(NamedTuple):
    """A window with one unknown; pooling allows at most half the kernel as padding, and its stride may be the kernel's.

    >>> Axis(SlidingWindow(8, 2, 2), follows_kernel=True).with_value("kernel", 4).output
    2
    """

    window: SlidingWindow | TransposedWindow
    is_pool: bool = False
    follows_kernel: bool = False

    def with_value(self, name: Hyperparameter, value: int) -> SlidingWindow | TransposedWindow:
        """The window with another value of one hyperparameter."""
        changed: dict[str, Any] = {name: value}
        if name == "padding" and isinstance(self.window, SlidingWindow):
            changed = {"pad_before": value, "pad_after": value}
        elif name == "kernel" and self.follows_kernel:
            changed["stride"] = value
        return self.window._replace(**changed)


def solve(unknown: Hyperparameter, target: int, axes: Sequence[Axis]) -> range:
    """Find every value of `unknown` that gives the output size `target` along each axis; without a limit, to 2**63 - 1.

    The value that an axis has for `unknown` is ignored. Raises InputError with the nearest sizes where there is none.

    >>> solve("padding", 130, [Axis(SlidingWindow(130, 3))])
    range(1, 2)
    >>> solve("stride", 1, [Axis(SlidingWindow(8, 3))])
    range(6, 9223372036854775807)
    """
    solutions = [_solve_axis(unknown, target, axis) for axis in axes]
    common = range(max(one.start for one in solutions), min(one.stop for one in solutions))
    require(common, "--want", f"no {unknown} gives {target} on every axis", "solve one axis at a time with -W")
    return common


def layer_axes(layer: Layer, shape: Shape) -> tuple[Axis, ...]:
    """The axes of a convolution or pooling layer applied to one sample of `shape`; raises InputError for others."""
    windows = trace([layer], shape)[-1].windows
    slides, what = windows and layer.name not in {"Fold", "Unfold"}, f"{layer.text} has no sliding kernel"
    require(slides, "--solve", what, "use it with a convolution or pooling layer")
    is_even = all(isinstance(one, TransposedWindow) or one.pad_before == one.pad_after for one in windows)
    require(is_even, "--solve", "the padding differs between the two sides", "write the padding as a number")
    is_pool = "Pool" in layer.name
    before_stride = 2 if layer.name.startswith("LP") else 1
    has_stride = len(layer.positional) > before_stride or "stride" in dict(layer.keywords)
    return tuple(Axis(window, is_pool, is_pool and not has_stride) for window in windows)


def _solve_axis(unknown: Hyperparameter, target: int, axis: Axis) -> range:
    """Bisect the values that PyTorch accepts, along which the output size is monotonic."""
    values, sign = _values(unknown, axis), 1 if _is_increasing(unknown, axis) else -1

    def signed_size(value: int) -> int:
        return sign * axis.with_value(unknown, value).output

    left = bisect_left(values, sign * target, key=signed_size)
    right = bisect_right(values, sign * target, key=signed_size)
    if left < right:
        return values[left:right]
    nearest = [(value, sign * signed_size(value)) for value in values[max(left - 1, 0) : left + 1]]
    sizes = ", ".join(f"{unknown}={value} gives {size}" for value, size in nearest if size > 0)
    raise InputError("--want", f"no {unknown} gives {target}", sizes or "use a smaller size")


def _is_increasing(unknown: Hyperparameter, axis: Axis) -> bool:
    """Whether the output size increases with the unknown; otherwise it decreases."""
    window = axis.window
    if isinstance(window, TransposedWindow):
        return unknown != "padding"
    # With ceil_mode, a kernel wider than its input has one window if the stride is long enough.
    return unknown == "padding" or (unknown == "stride" and window.ceil_mode and window.max_offset < 0)


def _values(unknown: Hyperparameter, axis: Axis) -> range:
    """The values that PyTorch accepts."""
    window = axis.window
    padding = window.padding if isinstance(window, TransposedWindow) else window.pad_before
    if unknown == "output_padding":
        if not isinstance(window, TransposedWindow):
            raise InputError("--solve", "output_padding belongs to transposed convolutions", "use ConvTranspose2d")
        return range(max(window.stride, window.dilation))
    if unknown == "padding":
        return range(window.kernel // 2 + 1 if axis.is_pool else INT64)
    if unknown == "kernel":
        return range(max(2 * padding, 1) if axis.is_pool else 1, INT64)
    least = window.output_padding + 1 if isinstance(window, TransposedWindow) else 1
    return range(least if least > window.dilation else 1, INT64)
