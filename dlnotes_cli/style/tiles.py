"""Overlapping tiles of an image: their features, cut to what belongs to each, are exactly those of the whole image."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from dlnotes_cli.style.feature_layers import InputWindow
from dlnotes_cli.style.losses import Features, Positions


@dataclass(frozen=True)
class Tile:
    """A part of an image, with the surroundings that its features depend on.

    Each feature of the whole image belongs to one tile, in which it has the same value.
    """

    crop: Positions  # rows and columns of the image
    own: Mapping[str, Positions]  # by layer, of the crop's features: those that belong to the tile
    positions: Mapping[str, Positions]  # by layer, of the whole image's features: where these are

    def cut(self, features: Features) -> dict[str, Tensor]:
        """The features of the crop that belong to the tile."""
        return {name: values[:, :, *self.own[name]] for name, values in features.items()}


@dataclass(frozen=True)
class _Span:
    """A tile in one direction."""

    crop: slice
    own: Mapping[str, slice]
    positions: Mapping[str, slice]


def make_tiles(height: int, width: int, side: int | None, windows: Mapping[str, InputWindow]) -> list[Tile]:
    """Tiles of about `side` pixels that cover an image; a single one without `side`."""
    rows, columns = (_spans(length, side or length, windows) for length in (height, width))
    return [
        Tile(
            (row.crop, column.crop),
            {name: (row.own[name], column.own[name]) for name in windows},
            {name: (row.positions[name], column.positions[name]) for name in windows},
        )
        for row, column in product(rows, columns)
    ]


def features_by_tile(
    network: Callable[[Tensor], Features], image: Tensor, tiles: Sequence[Tile]
) -> Iterator[tuple[Tile, Features]]:
    """Each tile of an image (1, 3, H, W) with its own features; one tile is in memory at a time."""
    for tile in tiles:
        yield tile, tile.cut(network(image[:, :, *tile.crop]))


def _spans(length: int, side: int, windows: Mapping[str, InputWindow]) -> list[_Span]:
    """Tiles of almost equal length; they and their crops start at multiples of the largest stride."""
    stride = max(window.jump for window in windows.values())
    count = -(-length // side)
    starts = [round(i * length / count / stride) * stride for i in range(count)]
    return [
        _span(start, stop, length, stride, windows) for start, stop in zip(starts, [*starts[1:], None], strict=True)
    ]


def _span(start: int, stop: int | None, length: int, stride: int, windows: Mapping[str, InputWindow]) -> _Span:
    """A tile from `start` to `stop`, or to the end of the image; at its border, the crop ends there too."""
    low = 0 if start == 0 else max(0, start + min(window.low for window in windows.values())) // stride * stride
    high = length
    if stop is not None:
        high = min(length, max(stop - window.jump + window.high + 1 for window in windows.values()))
    return _Span(
        slice(low, high),
        {name: _scaled(start - low, stop and stop - low, window.jump) for name, window in windows.items()},
        {name: _scaled(start, stop, window.jump) for name, window in windows.items()},
    )


def _scaled(start: int, stop: int | None, jump: int) -> slice:
    """The positions of a layer from pixel `start` to `stop`, both multiples of `jump`; the last tile has the rest."""
    return slice(start // jump, None if stop is None else stop // jump)
