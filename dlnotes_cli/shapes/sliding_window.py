"""Sliding-window arithmetic along one axis: the output size of convolution, pooling and transposed convolution."""

from typing import NamedTuple

from dlnotes_cli.shapes.receptive_field import MAX_PERIOD, AxisField


class SlidingWindow(NamedTuple):
    """The kernel of a convolution or pooling layer along one axis; sizes in positions.

    The output size is floor((W + P_before + P_after - dilation*(F - 1) - 1) / S) + 1, as in the PyTorch documentation
    of `Conv2d` and `MaxPool2d`; `ceil_mode` rounds up instead.
    """

    input_size: int
    kernel: int
    stride: int = 1
    pad_before: int = 0
    pad_after: int = 0
    dilation: int = 1
    ceil_mode: bool = False

    @property
    def effective_kernel(self) -> int:
        """Positions from the kernel's first to its last, holes of the dilation included."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def max_offset(self) -> int:
        """The largest offset at which the kernel fits into the padded input; negative where it does not fit at all."""
        return self.input_size + self.pad_before + self.pad_after - self.effective_kernel

    @property
    def ceil_output(self) -> int:
        """The output size rounded up, with the last, incomplete window counted."""
        return -(-self.max_offset // self.stride) + 1

    @property
    def output(self) -> int:
        """The output size, as torch computes it.

        With `ceil_mode`, the last window must start inside the input or its left padding.

        >>> SlidingWindow(32, 1, 2, 0, 0, ceil_mode=True).output, SlidingWindow(7, 2, 2, 0, 0, ceil_mode=True).output
        (16, 4)
        """
        if not self.ceil_mode:
            return self.max_offset // self.stride + 1
        count = self.ceil_output
        return count - 1 if (count - 1) * self.stride >= self.input_size + self.pad_before else count

    @property
    def formula(self) -> str:
        """The formula of the output size with its numbers.

        >>> SlidingWindow(130, 3, 1, 0, 0).formula
        'floor((130 - 3 + 2*0) / 1) + 1 = 128'
        """
        text = f"{'ceil' if self.ceil_mode else 'floor'}(({self.numerator}) / {self.stride}) + 1 = "
        if not self.ceil_mode or self.ceil_output == self.output:
            return text + str(self.output)
        start, edge = self.output * self.stride, self.input_size + self.pad_before
        return f"{text}{self.ceil_output}, less 1 as the last window would start at {start} of {edge}: {self.output}"

    @property
    def numerator(self) -> str:
        """The numerator of the formula with its numbers."""
        kernel = str(self.kernel) if self.dilation == 1 else f"{self.dilation}*({self.kernel} - 1) - 1"
        padding = f"2*{self.pad_before}" if self.pad_before == self.pad_after else str(self.pad_before + self.pad_after)
        return f"{self.input_size} - {kernel} + {padding}"

    @property
    def course_note(self) -> str:
        """What the course's formula gives where it is not a whole number, else ""."""
        if self.ceil_mode or self.max_offset % self.stride == 0:
            return ""
        exact = f"({self.numerator}) / {self.stride} + 1 = {self.max_offset / self.stride + 1:g}"
        return f"the course's formula has no floor: {exact}; sizes are rounded down, to {self.output}"

    @property
    def field(self) -> AxisField:
        """The input positions that each output position reads."""
        return AxisField((-self.pad_before,), (self.effective_kernel - 1 - self.pad_before,), self.stride)


class TransposedWindow(NamedTuple):
    """The kernel of a transposed convolution along one axis; sizes in positions.

    The output size is (W - 1)*S - 2*P + dilation*(F - 1) + output_padding + 1, as in the PyTorch documentation of
    `ConvTranspose2d`.
    """

    input_size: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    output_padding: int = 0

    @property
    def effective_kernel(self) -> int:
        """Positions from the kernel's first to its last, holes of the dilation included."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def output(self) -> int:
        """The output size.

        >>> TransposedWindow(16, 3, 2, 1, output_padding=1).output
        32
        """
        return (self.input_size - 1) * self.stride - 2 * self.padding + self.effective_kernel + self.output_padding

    @property
    def formula(self) -> str:
        """The formula of the output size with its numbers.

        >>> TransposedWindow(16, 3, 2, 1, output_padding=1).formula
        '(16 - 1)*2 - 2*1 + 3 + 1 = 32'
        """
        kernel = str(self.kernel) if self.dilation == 1 else f"{self.dilation}*({self.kernel} - 1) + 1"
        expanded = f"({self.input_size} - 1)*{self.stride} - 2*{self.padding}"
        return f"{expanded} + {kernel} + {self.output_padding} = {self.output}"

    @property
    def field(self) -> AxisField | None:
        """The input positions that each output reads, first to last; None where the stride exceeds MAX_PERIOD.

        With both stride and dilation, some positions between the first and the last are not read.
        """
        if self.stride > MAX_PERIOD:
            return None
        first = [o + self.padding for o in range(self.stride)]
        low = tuple(-((self.effective_kernel - 1 - o) // self.stride) for o in first)
        return AxisField(low, tuple(o // self.stride for o in first), 1)
