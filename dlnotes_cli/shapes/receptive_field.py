"""Receptive field, jump and start of a layer's output: which input positions reach each output position.

The recurrences are those of Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016
(arXiv:1603.07285), and of Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", 2019.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, gcd, lcm
from operator import ge
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dlnotes_cli.shell.codec import HIDDEN, in_json, named

if TYPE_CHECKING:
    from fractions import Fraction

_MAX_FLOAT_INTEGER = 2**52  # below it, halves are exact
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
    def jump(self) -> "int | Fraction":
        """The distance between neighboring outputs, in input positions."""
        if self.step % len(self.low) == 0:
            return self.step // len(self.low)
        from fractions import Fraction  # with decimal, 2 % of the time of `conv-shape`

        return Fraction(self.step, len(self.low))

    @property
    def start(self) -> float:
        """The center of the first output's field; the center of the first input position is 0.5."""
        whole, half = divmod(self.low[0] + self.high[0] + 1, 2)
        return whole + 0.5 if half and abs(whole) < _MAX_FLOAT_INTEGER else whole

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
# mixing their values, reads every value, reduces all spatial axes, moves values to other axes, or mixes positions in a
# way that is not tracked.
LayerField = tuple[AxisField, ...] | Literal["elementwise", "flattened", "global", "reduced", "rearranged", "unknown"]


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of a layer's output in the input of the whole stack, borders ignored.

    `input_size` is the spatial size of that input, `size` the receptive field along each axis. `axes` is None once the
    output has no positions of its own, as after Flatten; then `union` is what all its values see together. `size` is
    None too where the field is unknown. Statistics of normalization layers are not counted.
    """

    input_size: tuple[int, ...] = field(metadata=HIDDEN)
    axes: tuple[AxisField, ...] | None = field(metadata=HIDDEN)
    size: tuple[int, ...] | None = field(metadata=named("receptive_field"))
    union: tuple[int, ...] | None = field(default=None, metadata=HIDDEN)

    @classmethod
    def of_input(cls, shape: tuple[int, ...]) -> "ReceptiveField":
        """The field of the input itself: each position sees itself. `shape` is channels, then the spatial size."""
        spatial = shape[1:]
        return cls(spatial, (ONE_POSITION,) * len(spatial), (1,) * len(spatial) or None)

    @property
    @in_json
    def jump(self) -> tuple[Any, ...] | None:  # of int and Fraction
        """The distance between neighboring outputs along each axis, in input positions."""
        return tuple(axis.jump for axis in self.axes) if self.axes else None

    @property
    @in_json
    def start(self) -> tuple[float, ...] | None:
        """The center of the first output's field along each axis, in input positions."""
        return tuple(axis.start for axis in self.axes) if self.axes else None

    def followed_by(self, layer: LayerField, shape: tuple[int, ...]) -> "ReceptiveField":  # noqa: PLR0911
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
        if layer == "reduced" and self.axes:
            spans = self._spans(shape)
            return ReceptiveField(self.input_size, None, spans, spans)
        if layer == "rearranged" and (not self.axes or set(shape[-len(self.axes) :]) == {1}):
            return ReceptiveField(self.input_size, None, self.size, self._union(shape))
        return self._unknown()

    @classmethod
    def joined(cls, fields: Sequence["ReceptiveField"], shapes: Sequence[tuple[int, ...]]) -> "ReceptiveField":
        """The union of the fields of branches with these output shapes, joined position by position."""
        first = fields[0]
        if all(one == first for one in fields) and len({shape[2:] for shape in shapes}) == 1:
            return first
        if any(one.sees_everything for one in fields):  # as the gate of a squeeze-and-excitation block does
            known = [one.size for one in fields if one.size]
            size = tuple(map(max, *known)) if len(known) > 1 else known[0]
            return cls(first.input_size, None, size, size)
        axes = [one.axes for one in fields if one.axes]
        if len(axes) < len(fields) or len({(len(shape), shape[2:]) for shape in shapes}) > 1:
            return cls(first.input_size, None, None)
        unions = [_union_of_axes(branches) for branches in zip(*axes, strict=True)]
        known_axes = tuple(axis for axis in unions if axis)
        if len(known_axes) < len(unions):
            return cls(first.input_size, None, None)
        return cls(first.input_size, known_axes, tuple(axis.size for axis in known_axes))

    @property
    def sees_everything(self) -> bool:
        """Whether each value, which has no position of its own, sees the whole input."""
        return self.axes is None and bool(self.size) and all(map(ge, self.size or (), self.input_size))

    def _spans(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The input positions between the first and the last that an output of `shape` sees, along each axis."""
        axes = self.axes or ()
        return tuple(
            axis.span(positions) for axis, positions in zip(axes, shape[len(shape) - len(axes) :], strict=True)
        )

    def _union(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """What all positions of an output of `shape` see together: at most the input, unless one alone sees more."""
        if not self.axes or not self.size:
            return self.union
        return tuple(map(max, self.size, map(min, self._spans(shape), self.input_size)))

    def _followed_by_axes(self, layer: tuple[AxisField, ...]) -> "ReceptiveField":
        if self.axes is None or len(layer) > len(self.axes):
            return self._unknown()
        untouched = len(self.axes) - len(layer)
        changed = [axis.followed_by(one) for axis, one in zip(self.axes[untouched:], layer, strict=True)]
        axes = (*self.axes[:untouched], *(axis for axis in changed if axis))
        if len(axes) < len(self.axes):
            return self._unknown()
        return ReceptiveField(self.input_size, axes, tuple(axis.size for axis in axes) or None)

    def _unknown(self) -> "ReceptiveField":
        if self.sees_everything:  # then every value computed from it does so too
            return self
        return ReceptiveField(self.input_size, None, None)


def _union_of_axes(branches: Sequence[AxisField]) -> AxisField | None:
    """The field of an output that reads several branches; None where their jumps differ or the period is too long."""
    period = lcm(*(len(axis.low) for axis in branches))
    if len({axis.jump for axis in branches}) > 1 or period > MAX_PERIOD:
        return None
    low = tuple(min(axis.at(position)[0] for axis in branches) for position in range(period))
    high = tuple(max(axis.at(position)[1] for axis in branches) for position in range(period))
    return AxisField(low, high, period // len(branches[0].low) * branches[0].step)


def interpolation_field(slope: "Fraction", offset: "Fraction | int", margin: int = 0) -> AxisField | None:
    """The field of an interpolation around `slope * o + offset`, with `margin` more positions on each side."""

    def extra(center: "Fraction | int") -> int:
        return 0 if center.denominator == 1 else margin

    return _periodic(slope, offset, lambda c: floor(c) - extra(c), lambda c: ceil(c) + extra(c))


def nearest_field(slope: "Fraction", offset: "Fraction | int" = 0) -> AxisField | None:
    """The field of a layer that reads the one position floor(slope * o + offset)."""
    return _periodic(slope, offset, floor, floor)


def adaptive_field(size: int, output: int) -> AxisField | None:
    """The field of adaptive pooling to `output` positions: floor(i*size/output) to ceil((i+1)*size/output)."""
    from fractions import Fraction

    slope = Fraction(size, output)
    return _periodic(slope, 0, floor, lambda start: ceil(start + slope) - 1)


def _periodic(
    slope: "Fraction", offset: "Fraction | int", low: Callable[[Any], int], high: Callable[[Any], int]
) -> AxisField | None:
    """The field from `low` to `high` of `slope * o + offset`; None where the period exceeds MAX_PERIOD."""
    if slope.denominator > MAX_PERIOD:
        return None
    places = [slope * o + offset for o in range(slope.denominator)]
    return AxisField(tuple(map(low, places)), tuple(map(high, places)), slope.numerator)


def layer_field(axes: Iterable[AxisField | None]) -> tuple[AxisField, ...] | Literal["unknown"]:
    """The field of a layer from those of its axes; unknown if one of them is."""
    fields = tuple(axes)
    known = tuple(axis for axis in fields if axis is not None)
    return known if len(known) == len(fields) else "unknown"
