"""The course's letters turned round: every value of one setting that gives a wanted size."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlnotes_cli.shapes.layer import INT64, Layer, Shape
from dlnotes_cli.shapes.names import Unknown
from dlnotes_cli.shapes.rules.windows import Slide, Transposed
from dlnotes_cli.shapes.stack import trace
from dlnotes_cli.shell.errors import InputError


@dataclass(frozen=True)
class Setting:
    """A kernel along one axis; in the course's letters W is `size`, F `kernel`, S `stride` and P `padding`."""

    size: int
    kernel: int = 1
    stride: int | None = 1  # None is the kernel's size
    padding: int = 0
    dilation: int = 1
    output_padding: int = 0
    is_transposed: bool = False
    is_pool: bool = False  # pads at most half its kernel
    ceil: bool = False

    @property
    def axis(self) -> Slide | Transposed:
        """The kernel as it slides."""
        stride = self.kernel if self.stride is None else self.stride
        if self.is_transposed:
            return Transposed(self.size, self.kernel, stride, self.padding, self.dilation, self.output_padding)
        return Slide(self.size, self.kernel, stride, self.padding, self.padding, self.dilation, self.ceil)

    def having(self, unknown: Unknown, value: int) -> "Setting":
        """The same kernel with another value of one setting."""
        changed: dict[str, Any] = {unknown: value}
        return replace(self, **changed)


@dataclass(frozen=True)
class Solutions:
    """The values from `lowest` to `highest` that give the wanted size; None is no upper end."""

    lowest: int
    highest: int | None

    def first(self, count: int) -> range:
        """The first `count` of them."""
        last = self.lowest + count - 1
        return range(self.lowest, (last if self.highest is None else min(last, self.highest)) + 1)


def solve(unknown: Unknown, want: int, settings: Sequence[Setting]) -> Solutions:
    """Every value of `unknown` that gives `want` along each of the axes.

    Raises InputError with the nearest sizes where there is none.

    >>> solve("padding", 130, [Setting(130, kernel=3)])
    Solutions(lowest=1, highest=1)
    >>> solve("stride", 1, [Setting(8, kernel=3)])
    Solutions(lowest=6, highest=None)
    """
    found = [_along_axis(unknown, want, setting) for setting in settings]
    lowest = max(solutions.lowest for solutions in found)
    ends = [solutions.highest for solutions in found if solutions.highest is not None]
    highest = min(ends, default=None)
    if highest is not None and highest < lowest:
        raise InputError("--want", f"no {unknown} gives {want} on every axis", "give one axis at a time with -W")
    return Solutions(lowest, highest)


def settings_of(layer: Layer, shape: Shape) -> tuple[Setting, ...]:
    """The axes of a convolution or pooling layer that is applied to one sample of `shape`."""
    step = trace([layer], shape)[-1]
    is_pool = "Pool" in layer.name
    if not step.slides or layer.name in {"Fold", "Unfold"}:
        raise InputError("--solve", f"{layer.text} has no sliding kernel", "give a convolution or pooling layer")
    settings = tuple(_setting(slide, is_pool=is_pool) for slide in step.slides)
    if is_pool and all(slide.kernel == slide.stride for slide in step.slides) and not _names_stride(layer):
        settings = tuple(replace(setting, stride=None) for setting in settings)
    return settings


def _setting(slide: Slide | Transposed, *, is_pool: bool) -> Setting:
    if isinstance(slide, Transposed):
        return Setting(
            slide.size,
            slide.kernel,
            slide.stride,
            slide.padding,
            slide.dilation,
            slide.output_padding,
            is_transposed=True,
        )
    if slide.before != slide.after:
        raise InputError("--solve", "the padding is not the same on both sides", "give padding as a number")
    return Setting(
        slide.size, slide.kernel, slide.stride, slide.before, slide.dilation, is_pool=is_pool, ceil=slide.ceil
    )


def _names_stride(layer: Layer) -> bool:
    index = 2 if layer.name.startswith("LP") else 1
    return len(layer.positional) > index or any(name == "stride" for name, _ in layer.keywords)


def _along_axis(unknown: Unknown, want: int, setting: Setting) -> Solutions:
    domain = _domain(unknown, want, setting)

    def size(value: int) -> int:
        return setting.having(unknown, value).axis.output

    sign = 1 if _grows(unknown, setting) else -1
    left = bisect_left(domain, sign * want, key=lambda value: sign * size(value))
    right = bisect_right(domain, sign * want, key=lambda value: sign * size(value))
    if left == right:
        raise _no_solution(unknown, want, [(value, size(value)) for value in domain[max(left - 1, 0) : left + 1]])
    is_open = (unknown == "stride" or _fits_at_any_width(unknown, setting)) and right == len(domain)
    return Solutions(domain[left], None if is_open else domain[right - 1])


def _grows(unknown: Unknown, setting: Setting) -> bool:
    """Whether the size grows with the unknown; otherwise it shrinks."""
    axis = setting.axis
    if unknown == "stride" and setting.ceil and axis.extent > setting.size + 2 * setting.padding:
        return True  # rounding up lets a kernel wider than its input have one window, if the stride reaches it
    return setting.is_transposed == (unknown != "padding")


def _domain(unknown: Unknown, want: int, setting: Setting) -> range:
    """The values that PyTorch would take and that can matter."""
    padded = setting.size + 2 * setting.padding
    stride = setting.kernel if setting.stride is None else setting.stride
    if unknown == "output_padding" and not setting.is_transposed:
        raise InputError("--solve", "output_padding belongs to transposed convolutions", "use ConvTranspose2d")
    if unknown == "output_padding":
        return range(max(stride, setting.dilation))
    if unknown == "padding" and setting.is_pool:
        return range(setting.kernel // 2 + 1)
    if unknown == "kernel":
        narrowest = max(2 * setting.padding, 1) if setting.is_pool else 1
        return range(narrowest, _capped(_widest(want, padded, setting)) + 1)
    if unknown == "stride":
        fewest = setting.output_padding + 1 if setting.output_padding >= setting.dilation else 1
        return range(fewest, _capped(want + padded + setting.kernel * setting.dilation) + 1)
    return range(_capped(want * stride + setting.axis.extent + setting.size * stride) + 1)


def _widest(want: int, padded: int, setting: Setting) -> int:
    """The widest kernel that can matter on `padded` values."""
    if setting.is_transposed or _fits_at_any_width("kernel", setting):
        return want + padded
    if not setting.ceil:
        return padded // setting.dilation + 1
    if setting.stride is None:
        return (padded - 1) // (setting.dilation - 1) + 1
    return (padded + setting.stride) // setting.dilation + 1


def _fits_at_any_width(unknown: Unknown, setting: Setting) -> bool:
    """Whether a pool that strides by its kernel keeps one window however wide it grows."""
    return unknown == "kernel" and setting.ceil and setting.stride is None and setting.dilation == 1


def _capped(value: int) -> int:
    return min(value, INT64 - 1)


def _no_solution(unknown: Unknown, want: int, nearest: list[tuple[int, int]]) -> InputError:
    shown = ", ".join(f"{unknown}={value} gives {size}" for value, size in nearest if size > 0)
    return InputError("--want", f"no {unknown} gives {want}", shown or "use a smaller size")
