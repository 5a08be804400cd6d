"""What the positions of a layer's output see of the input: receptive field, jump and start."""

from dataclasses import dataclass
from fractions import Fraction

from dlnotes_cli.shapes.layer import Reach, Shape
from dlnotes_cli.shapes.rules.windows import PIXEL, Window


@dataclass(frozen=True)
class Sight:
    """What one output position sees of the input's space, an axis at a time.

    `field` is the largest number of input positions along each axis that reach one output, borders ignored. `jump` is
    the distance between neighboring outputs and `start` the center of the first one's field, in input positions; the
    center of the first input position is 0.5. All are None where they mean nothing, after layers that mix positions.
    Statistics of normalization layers are not counted.

    The recurrences are those of Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, and of
    Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", 2019.
    """

    space: Shape
    windows: tuple[Window, ...] | None
    field: Shape | None

    @classmethod
    def first(cls, shape: Shape) -> "Sight":
        """The input itself: channels, then space."""
        space = shape[1:]
        return cls(space, (PIXEL,) * len(space), (1,) * len(space) or None)

    @property
    def jump(self) -> tuple[Fraction, ...] | None:
        """The distance between neighboring outputs."""
        return tuple(window.jump for window in self.windows) if self.windows else None

    @property
    def start(self) -> tuple[Fraction, ...] | None:
        """The center of what the first output sees."""
        return tuple(window.start for window in self.windows) if self.windows else None

    def after(self, reach: Reach) -> "Sight":
        """What the next layer's output sees."""
        if reach == "same":
            return self
        if isinstance(reach, tuple):
            return self._through(reach)
        if reach == "flat":
            return Sight(self.space, None, self.field)
        if reach == "whole" and self.field:
            return Sight(self.space, None, self.space)
        return Sight(self.space, None, None)

    def _through(self, layer: tuple[Window, ...]) -> "Sight":
        if self.windows is None or len(layer) > len(self.windows):
            return Sight(self.space, None, None)
        untouched = len(self.windows) - len(layer)
        seen = [past.through(window) for past, window in zip(self.windows[untouched:], layer, strict=True)]
        windows = (*self.windows[:untouched], *(window for window in seen if window))
        if len(windows) < len(self.windows):
            return Sight(self.space, None, None)
        return Sight(self.space, windows, tuple(window.span for window in windows))
