"""Sliding windows along one axis: the size they give, the formula with its numbers, and what each position reads."""

from collections.abc import Iterable
from fractions import Fraction
from math import ceil, floor, gcd
from typing import Literal, NamedTuple

MAX_PERIOD = 4096  # positions; a pattern that repeats later than this is not followed


class Window(NamedTuple):
    """Which input positions each output position reads, for maps that repeat.

    Output position `o` of `period = len(low)` reads from `low[o % period]` to `high[o % period]`, both moved by `step`
    times the whole periods before it. A convolution has period 1, a transposed one with stride 2 has period 2.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]
    step: int

    @property
    def span(self) -> int:
        """The most positions that one output reads, holes included."""
        return max(high - low for low, high in zip(self.low, self.high, strict=True)) + 1

    @property
    def jump(self) -> Fraction:
        """The distance between neighboring outputs, in input positions."""
        return Fraction(self.step, len(self.low))

    @property
    def start(self) -> Fraction:
        """The center of what the first output reads; the center of the first input position is 0.5."""
        return Fraction(self.low[0] + self.high[0] + 1, 2)

    def through(self, layer: "Window") -> "Window | None":
        """The window that `layer` has on what this one reads; None where the pattern repeats too late to follow.

        >>> Window((0,), (2,), 1).through(Window((0,), (1,), 2))  # a 3-wide filter, then pairs of its outputs
        Window(low=(0,), high=(3,), step=2)
        """
        period = len(self.low)
        repeats = period // gcd(layer.step, period)
        count = len(layer.low) * repeats
        if count > MAX_PERIOD:
            return None
        low = tuple(self.at(layer.at(o)[0])[0] for o in range(count))
        high = tuple(self.at(layer.at(o)[1])[1] for o in range(count))
        return Window(low, high, repeats * layer.step // period * self.step)

    def at(self, position: int) -> tuple[int, int]:
        """The first and the last position that the output at `position` reads."""
        periods, rest = divmod(position, len(self.low))
        return self.low[rest] + periods * self.step, self.high[rest] + periods * self.step


PIXEL = Window((0,), (0,), 1)


class Slide(NamedTuple):
    """A kernel that slides along one axis of a convolution or a pooling layer; sizes in positions."""

    size: int
    kernel: int
    stride: int
    before: int  # padding on the left
    after: int
    dilation: int = 1
    ceil: bool = False

    @property
    def extent(self) -> int:
        """Positions from the kernel's first to its last."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def travel(self) -> int:
        """How far the kernel can move; negative where it does not fit."""
        return self.size + self.before + self.after - self.extent

    @property
    def rounded_up(self) -> int:
        """The size with the last, incomplete window counted."""
        return -(-self.travel // self.stride) + 1

    @property
    def output(self) -> int:
        """The size that comes out, as `torch` counts it.

        The last window of `ceil_mode` must start inside the input or its left padding.

        >>> Slide(32, 1, 2, 0, 0, ceil=True).output, Slide(7, 2, 2, 0, 0, ceil=True).output
        (16, 4)
        """
        if not self.ceil:
            return self.travel // self.stride + 1
        count = self.rounded_up
        return count - 1 if (count - 1) * self.stride >= self.size + self.before else count

    @property
    def formula(self) -> str:
        """The formula with the numbers put in.

        >>> Slide(130, 3, 1, 0, 0).formula
        'floor((130 - 3 + 2*0) / 1) + 1 = 128'
        """
        text = f"{'ceil' if self.ceil else 'floor'}(({self.numerator}) / {self.stride}) + 1 = "
        if not self.ceil or self.rounded_up == self.output:
            return text + str(self.output)
        start, edge = self.output * self.stride, self.size + self.before
        return f"{text}{self.rounded_up}, less 1 as the last window would start at {start} of {edge}: {self.output}"

    @property
    def numerator(self) -> str:
        """What the formula divides by the stride."""
        kernel = str(self.kernel) if self.dilation == 1 else f"{self.dilation}*({self.kernel} - 1) - 1"
        padding = f"2*{self.before}" if self.before == self.after else str(self.before + self.after)
        return f"{self.size} - {kernel} + {padding}"

    @property
    def window(self) -> Window:
        """The positions that each output reads."""
        return Window((-self.before,), (self.extent - 1 - self.before,), self.stride)


class Transposed(NamedTuple):
    """A kernel of a transposed convolution along one axis; sizes in positions."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int = 1
    output_padding: int = 0

    @property
    def extent(self) -> int:
        """Positions from the kernel's first to its last."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def output(self) -> int:
        """The size that comes out.

        >>> Transposed(16, 3, 2, 1, output_padding=1).output
        32
        """
        return (self.size - 1) * self.stride - 2 * self.padding + self.extent + self.output_padding

    @property
    def formula(self) -> str:
        """The formula with the numbers put in.

        >>> Transposed(16, 3, 2, 1, output_padding=1).formula
        '(16 - 1)*2 - 2*1 + 3 + 1 = 32'
        """
        kernel = str(self.kernel) if self.dilation == 1 else f"{self.dilation}*({self.kernel} - 1) + 1"
        return f"({self.size} - 1)*{self.stride} - 2*{self.padding} + {kernel} + {self.output_padding} = {self.output}"

    @property
    def window(self) -> Window | None:
        """The positions that each output reads; with both stride and dilation, the hull of them."""
        if self.stride > MAX_PERIOD:
            return None
        first = [o + self.padding for o in range(self.stride)]
        low = tuple(-((self.extent - 1 - o) // self.stride) for o in first)
        return Window(low, tuple(o // self.stride for o in first), 1)


def sampled(slope: Fraction, offset: Fraction, around: int = 0) -> Window | None:
    """The window of an interpolation: it reads at `slope * o + offset`, and `around` more positions on each side."""
    count = slope.denominator
    if count > MAX_PERIOD:
        return None
    centers = [slope * o + offset for o in range(count)]
    margins = [0 if center.denominator == 1 else around for center in centers]
    low = tuple(floor(center) - margin for center, margin in zip(centers, margins, strict=True))
    high = tuple(ceil(center) + margin for center, margin in zip(centers, margins, strict=True))
    return Window(low, high, slope.numerator)


def shared(size: int, output: int) -> Window | None:
    """The window of adaptive pooling, which shares `size` positions out among `output`."""
    slope = Fraction(size, output)
    if slope.denominator > MAX_PERIOD:
        return None
    low = tuple(floor(slope * o) for o in range(slope.denominator))
    high = tuple(ceil(slope * (o + 1)) - 1 for o in range(slope.denominator))
    return Window(low, high, slope.numerator)


def followed(windows: Iterable[Window | None]) -> tuple[Window, ...] | Literal["lost"]:
    """The windows of a layer's axes, or "lost" where one could not be followed."""
    found = tuple(windows)
    known = tuple(window for window in found if window is not None)
    return known if len(known) == len(found) else "lost"
