"""Receptive field, jump and start of a layer's output: which input positions reach each output position.

The recurrences are those of Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016
(arXiv:1603.07285), and of Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", 2019.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, gcd
from typing import Literal, NamedTuple

MAX_PERIOD = 4096  # output positions; the field of a pattern with a longer period is reported as unknown


class AxisField(NamedTuple):
    """The input positions that each output position reads along one axis, for patterns that repeat.

    Output position `o` of `period = len(low)` reads from `low[o % period]` to `high[o % period]`, both shifted by
    `step` for each full period before it. A convolution has period 1, a transposed one with stride 2 has period 2.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]
    step: int

    @property
    def size(self) -> int:
        """The largest number of positions that one output spans, holes included."""
        return max(high - low for low, high in zip(self.low, self.high, strict=True)) + 1

    @property
    def jump(self) -> Fraction:
        """The distance between neighboring outputs, in input positions."""
        return Fraction(self.step, len(self.low))

    @property
    def start(self) -> Fraction:
        """The center of the first output's field; the center of the first input position is 0.5."""
        return Fraction(self.low[0] + self.high[0] + 1, 2)

    def followed_by(self, layer: "AxisField") -> "AxisField | None":
        """The field after one more layer; None where the period of the pattern exceeds MAX_PERIOD.

        >>> AxisField((0,), (2,), 1).followed_by(AxisField((0,), (1,), 2))  # kernel 3, then pooling 2 with stride 2
        AxisField(low=(0,), high=(3,), step=2)
        """
        period = len(self.low)
        repeats = period // gcd(layer.step, period)
        count = len(layer.low) * repeats
        if count > MAX_PERIOD:
            return None
        low = tuple(self.at(layer.at(o)[0])[0] for o in range(count))
        high = tuple(self.at(layer.at(o)[1])[1] for o in range(count))
        return AxisField(low, high, repeats * layer.step // period * self.step)

    def span(self, positions: int) -> int:
        """The number of input positions between the first and the last that `positions` outputs read."""
        period = min(len(self.low), positions)
        low = min(self.at(position)[0] for position in range(period))
        return max(self.at(position)[1] for position in range(positions - period, positions)) - low + 1

    def at(self, position: int) -> tuple[int, int]:
        """The first and the last input position that the output at `position` reads."""
        periods, rest = divmod(position, len(self.low))
        return self.low[rest] + periods * self.step, self.high[rest] + periods * self.step


ONE_POSITION = AxisField((0,), (0,), 1)

# The field of one layer: an AxisField for each of the last axes; or the layer is elementwise, merges axes without
# mixing their values, reads every position, or mixes positions in a way that is not tracked.
LayerField = tuple[AxisField, ...] | Literal["elementwise", "flattened", "global", "unknown"]


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of a layer's output in the input of the whole stack, borders ignored.

    `input_size` is the spatial size of that input, `size` the receptive field along each axis. `axes` is None once the
    output has no positions of its own, as after Flatten; then `union` is what all its values see together. `size` is
    None too where the field is unknown. Statistics of normalization layers are not counted.
    """

    input_size: tuple[int, ...]
    axes: tuple[AxisField, ...] | None
    size: tuple[int, ...] | None
    union: tuple[int, ...] | None = None

    @classmethod
    def of_input(cls, shape: tuple[int, ...]) -> "ReceptiveField":
        """The field of the input itself: each position sees itself. `shape` is channels, then the spatial size."""
        spatial = shape[1:]
        return cls(spatial, (ONE_POSITION,) * len(spatial), (1,) * len(spatial) or None)

    @property
    def jump(self) -> tuple[Fraction, ...] | None:
        """The distance between neighboring outputs along each axis, in input positions."""
        return tuple(axis.jump for axis in self.axes) if self.axes else None

    @property
    def start(self) -> tuple[Fraction, ...] | None:
        """The center of the first output's field along each axis, in input positions."""
        return tuple(axis.start for axis in self.axes) if self.axes else None

    def followed_by(self, layer: LayerField, shape: tuple[int, ...]) -> "ReceptiveField":
        """The receptive field after one more layer, whose input has `shape`, batch included."""
        if layer == "elementwise":
            return self
        if isinstance(layer, tuple):
            return self._followed_by_axes(layer)
        if layer == "flattened":
            return ReceptiveField(self.input_size, None, self.size, self._union(shape))
        if layer == "global" and self.size:
            union = self._union(shape)
            return ReceptiveField(self.input_size, None, union, union)
        return self._unknown()

    def _union(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """What all positions of an output of `shape` see together: at most the input, unless one alone sees more."""
        if not self.axes or not self.size:
            return self.union
        spans = (axis.span(positions) for axis, positions in zip(self.axes, shape[-len(self.axes) :], strict=True))
        return tuple(map(max, self.size, map(min, spans, self.input_size)))

    def _followed_by_axes(self, layer: tuple[AxisField, ...]) -> "ReceptiveField":
        if self.axes is None or len(layer) > len(self.axes):
            return self._unknown()
        untouched = len(self.axes) - len(layer)
        changed = [axis.followed_by(field) for axis, field in zip(self.axes[untouched:], layer, strict=True)]
        axes = (*self.axes[:untouched], *(axis for axis in changed if axis))
        if len(axes) < len(self.axes):
            return self._unknown()
        return ReceptiveField(self.input_size, axes, tuple(axis.size for axis in axes))

    def _unknown(self) -> "ReceptiveField":
        return ReceptiveField(self.input_size, None, None)


def interpolation_field(slope: Fraction, offset: Fraction, margin: int = 0) -> AxisField | None:
    """The field of an interpolation that reads around `slope * o + offset`, with `margin` more positions on each side.

    Returns None where the period exceeds MAX_PERIOD.
    """
    period = slope.denominator
    if period > MAX_PERIOD:
        return None
    centers = [slope * o + offset for o in range(period)]
    margins = [0 if center.denominator == 1 else margin for center in centers]
    low = tuple(floor(center) - extra for center, extra in zip(centers, margins, strict=True))
    high = tuple(ceil(center) + extra for center, extra in zip(centers, margins, strict=True))
    return AxisField(low, high, slope.numerator)


def nearest_field(slope: Fraction, offset: Fraction = Fraction(0)) -> AxisField | None:
    """The field of a layer that reads the one position floor(slope * o + offset)."""
    field = interpolation_field(slope, offset)
    return field and AxisField(field.low, field.low, field.step)


def adaptive_field(size: int, output: int) -> AxisField | None:
    """The field of adaptive pooling from `size` to `output` positions: floor(i*size/output) to ceil((i+1)*size/output).

    Returns None where the period exceeds MAX_PERIOD.
    """
    slope = Fraction(size, output)
    if slope.denominator > MAX_PERIOD:
        return None
    low = tuple(floor(slope * o) for o in range(slope.denominator))
    high = tuple(ceil(slope * (o + 1)) - 1 for o in range(slope.denominator))
    return AxisField(low, high, slope.numerator)


def layer_field(axes: Iterable[AxisField | None]) -> tuple[AxisField, ...] | Literal["unknown"]:
    """The field of a layer from those of its axes; unknown if one of them is."""
    fields = tuple(axes)
    known = tuple(field for field in fields if field is not None)
    return known if len(known) == len(fields) else "unknown"
