"""The loss of an image as a function of its pixels (Gatys, Ecker and Bethge, CVPR 2016), and what it compares with.

It is computed in tiles if memory is short.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dlnotes_cli.style.images import InputImage, Size, match_colors, scaled_to_at_least
from dlnotes_cli.style.masks import RegionMasks, region_weights
from dlnotes_cli.style.network import FeatureNetwork, Features, InputWindow
from dlnotes_cli.style.options import StyleRecipe, StyleTransferConfig

MARGIN = 8  # pixels around the optimized image that are cropped from the result, where a frame would appear
_EPSILON = 1e-12  # keeps divisors above 0 for constant images


def gram(features: Tensor, regions: Tensor | None = None) -> Tensor:
    """Gram matrices (R, C, C) of features (1, C, H, W): products of channels, summed over all positions.

    `regions` (R, H, W) are weights in 0..1 of the positions; by default, the whole image is the only region.
    """
    flat = features.flatten(2).squeeze(0)
    if regions is None:
        return (flat @ flat.T)[None]  # twice as fast as products of batches
    weighted = flat * regions.flatten(1).sqrt()[:, None]
    return weighted @ weighted.mT


def total_variation(image: Tensor) -> Tensor:
    """Mean squared differences between vertical and between horizontal neighbors of an image (1, C, H, W)."""
    return image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()


class Losses(NamedTuple):
    """The weighted total and its unweighted terms; scalar tensors."""

    total: Tensor
    content: Tensor
    style: Tensor
    variation: Tensor


class Span(NamedTuple):
    """A tile in one direction, in pixels, and its crop: what the features of the tile depend on.

    The last tile has no `stop`, as its features end with those of the image.
    """

    start: int = 0
    stop: int | None = None
    low: int = 0
    high: int | None = None

    def positions(self, jump: int, origin: int = 0) -> slice:
        """The features of a layer that belong to the tile, counted from the pixel `origin`."""
        return slice((self.start - origin) // jump, None if self.stop is None else (self.stop - origin) // jump)


class Tile(NamedTuple):
    """A part of an image: each feature of the whole image belongs to one tile, in which it has the same value."""

    rows: Span
    columns: Span
    jumps: Mapping[str, int]  # by layer: pixels from one position of its features to the next

    def features(self, network: Callable[[Tensor], Features], image: Tensor) -> dict[str, Tensor]:
        """The features of an image (1, 3, H, W) that belong to the tile."""
        rows, columns = self.rows, self.columns
        crop = network(image[:, :, rows.low : rows.high, columns.low : columns.high])
        return {
            name: values[
                :, :, rows.positions(self.jumps[name], rows.low), columns.positions(self.jumps[name], columns.low)
            ]
            for name, values in crop.items()
        }

    def of(self, name: str, values: Tensor) -> Tensor:
        """The part of a layer's values (..., H, W) for the whole image that belongs to the tile."""
        return values[..., self.rows.positions(self.jumps[name]), self.columns.positions(self.jumps[name])]


WHOLE = Tile(Span(), Span(), defaultdict(lambda: 1))  # the image as a single tile


def make_tiles(height: int, width: int, side: int, windows: Mapping[str, InputWindow]) -> list[Tile]:
    """Tiles of about `side` pixels that cover an image."""
    jumps = {name: window.jump for name, window in windows.items()}
    spans = (_spans(length, side, windows.values()) for length in (height, width))
    return [Tile(rows, columns, jumps) for rows, columns in product(*spans)]


def _spans(length: int, side: int, windows: Collection[InputWindow]) -> list[Span]:
    """Tiles of almost equal length; they and their crops start at multiples of the largest stride."""
    stride, low = max(window.jump for window in windows), min(window.low for window in windows)
    count = -(-length // side)
    starts = [round(i * length / count / stride) * stride for i in range(count)]
    lows = [max(0, start + low) // stride * stride if start else 0 for start in starts]
    highs = [min(length, max(stop - w.jump + w.high + 1 for w in windows)) for stop in starts[1:]]
    return list(map(Span, starts, [*starts[1:], None], lows, [*highs, length]))


@dataclass(frozen=True)
class StyleTarget:
    """The Gram matrices of a style at one layer, and how those of an image are compared with them.

    The style losses of regions (Gatys et al., CVPR 2017) are weighted by their areas.
    """

    grams: Tensor  # (R, C, C): means over the positions of each region
    areas: Tensor  # (R,): numbers of positions in the image
    factors: Tensor  # (R,): of the squared distances
    regions: Tensor | None = None  # (R, H, W): weights of the image's positions


def style_target(
    grams: Tensor, positions: int, weight: float, regions: Tensor | None = None, *, is_notes: bool = False
) -> StyleTarget:
    """The target of a layer of this weight, whose features have so many positions.

    Each squared distance is divided by the squared norm of its target, so that layers, networks and image sizes have
    comparable losses. `is_notes`, as in the course's notebook: the mean squared difference of Gram matrices that are
    sums over positions, divided by channels times positions.
    """
    areas = region_areas(grams, positions, regions)
    shares = weight * areas / areas.sum()
    if is_notes:
        factors = shares * positions / grams.shape[1] ** 3
    else:
        factors = shares / grams.square().sum((1, 2)).clamp(min=_EPSILON)
    return StyleTarget(grams, areas, factors, regions)


def region_areas(grams: Tensor, positions: int, regions: Tensor | None) -> Tensor:
    """The number of positions (R,) of each region, of a layer whose features have so many."""
    if regions is None:
        return grams.new_full((1,), positions)
    return regions.sum((1, 2)).clamp(min=_EPSILON)


@dataclass(frozen=True)
class StyleTransferLoss:
    """The losses of an image (1, 3, H, W) compared with the features of a content image and the grams of a style.

    What they are computed from (squared differences and Gram matrices) are sums over positions. With several tiles,
    the features of each are computed again for its part of the gradient: losses and gradient equal those of the whole
    image up to rounding, and the memory for activations is that of one tile.
    """

    network: Callable[[Tensor], Features]
    content_layer: str
    content: Tensor  # features of the content image
    content_factor: float | Tensor  # of the sum of squared differences
    style: Mapping[str, StyleTarget]  # by layer
    weights: tuple[float, float, float]  # of the content, the style (alpha and beta of the paper) and the variation
    tiles: Sequence[Tile]

    def __call__(self, image: Tensor) -> Losses:
        """The losses, in float32, or float64 for a network of it."""
        if len(self.tiles) == 1:
            content, *grams = self._sums(image, self.tiles[0])
        else:
            parts = [checkpoint(self._sums, image, tile, use_reentrant=False) for tile in self.tiles]
            content, *grams = [torch.stack(one).sum(0) for one in zip(*parts, strict=True)]
        distances = [
            ((one / target.areas[:, None, None] - target.grams).square().sum((1, 2)) * target.factors).sum()
            for one, target in zip(grams, self.style.values(), strict=True)
        ]
        content, style, variation = content * self.content_factor, torch.stack(distances).sum(), total_variation(image)
        alpha, beta, smoothness = self.weights
        return Losses(alpha * content + beta * style + smoothness * variation, content, style, variation)

    def _sums(self, image: Tensor, tile: Tile) -> list[Tensor]:
        """The sums over the positions of a tile: squared differences of the content, and a Gram matrix per layer."""
        features = tile.features(self.network, image)
        difference = features[self.content_layer] - tile.of(self.content_layer, self.content)
        return [difference.square().sum()] + [
            gram(features[name], None if target.regions is None else tile.of(name, target.regions))
            for name, target in self.style.items()
        ]


@dataclass(frozen=True)
class StyleSetup:
    """What all images of one call have in common."""

    config: StyleTransferConfig
    recipe: StyleRecipe
    network: FeatureNetwork
    styles: Sequence[InputImage]
    start: InputImage | None  # None: the content, or noise
    budget_s: float | None  # for each image
    masks: RegionMasks | None = None  # None: one region, the whole image

    @property
    def is_notes(self) -> bool:
        """Whether the recipe is that of the course's notebook."""
        return self.config.recipe == "notes"

    def style_size(self, image: InputImage, size: Size) -> Size:
        """The size of a style image for a result of (H, W); the notebook stretches it to that."""
        if self.is_notes:
            return size
        return scaled_to_at_least(image.size, max(size) * self.config.style_scale, self.network.layers.min_side)

    def tiles(self, height: int, width: int) -> list[Tile]:
        """The tiles of an image of this size."""
        side = self.config.tile
        return make_tiles(height, width, side, self.network.truncated.windows) if side else [WHOLE]


class TargetBuilder:
    """Computes the targets of one result at any size."""

    def __init__(self, setup: StyleSetup, content: InputImage, ratio: float) -> None:
        self._setup, self._content, self._ratio = setup, content, ratio
        self._styles = [_with_matched_colors(style, content, setup.config) for style in setup.styles]

    @torch.no_grad()
    def loss(self, size: Size, margin: int) -> StyleTransferLoss:
        """The loss of an image of (H, W) with a margin around it."""
        setup, layers = self._setup, self._setup.network.layers
        image = F.pad(self.normalized(self._content, size), (margin,) * 4, mode="reflect")
        height, width = image.shape[2:]
        tiles, shapes = setup.tiles(height, width), setup.network.truncated.shapes(height, width)
        content = image.new_empty(shapes[layers.content])
        for tile in tiles:
            tile.of(layers.content, content).copy_(tile.features(setup.network, image)[layers.content])
        factor: float | Tensor = 0.5 if setup.config.content_loss == "half-sum" else 1 / content.numel()
        if not setup.is_notes:
            factor = 1 / content.square().sum().clamp(min=_EPSILON * content.numel())
        regions: dict[str, Tensor] = {}
        if setup.masks is not None:
            regions = region_weights(setup.masks.content, size, margin, shapes, image.device)
        grams = self.style_grams(size)
        divisor = 1.0 if setup.is_notes else sum(layers.style.values())
        style = {
            name: style_target(
                grams[name], prod(shapes[name][-2:]), weight / divisor, regions.get(name), is_notes=setup.is_notes
            )
            for name, weight in layers.style.items()
        }
        content_weight, style_weight = (1.0, 1 / self._ratio) if setup.is_notes else (self._ratio, 1.0)
        weights = content_weight, style_weight, setup.recipe.tv
        return StyleTransferLoss(setup.network, layers.content, content, factor, style, weights, tiles)

    @torch.no_grad()
    def style_grams(self, size: Size) -> dict[str, Tensor]:
        """Gram matrices (R, C, C) by layer for a result of (H, W); those of several images are averaged by weight."""
        total_weight = sum(style.weight for style in self._styles)
        grams: dict[str, Tensor] = {}
        for style in self._styles:
            style_size = self._setup.style_size(style, size)
            for name, matrices in self._grams(style, style_size, is_style=True).items():
                grams[name] = grams.get(name, 0) + matrices * (style.weight / total_weight)
        return grams

    @torch.no_grad()
    def image_grams(self, image: InputImage, size: Size) -> dict[str, Tensor]:
        """Gram matrices (R, C, C) by layer of a content image or a result, scaled to (H, W)."""
        return self._grams(image, size, is_style=False)

    def normalized(self, image: InputImage, size: Size) -> Tensor:
        """An image (1, 3, H, W) as the network expects it, on its device."""
        return self._setup.network.normalized(image.pixels(size))

    def _grams(self, image: InputImage, size: Size, *, is_style: bool) -> dict[str, Tensor]:
        """Means over each region."""
        network, masks, x = self._setup.network, self._setup.masks, self.normalized(image, size)
        shapes = network.truncated.shapes(*size)
        regions: dict[str, Tensor] = {}
        if masks is not None:
            regions = region_weights(masks.style if is_style else masks.content, size, 0, shapes, x.device)
        sums: dict[str, Tensor] = {}
        for tile in self._setup.tiles(*size):
            features = tile.features(network, x)
            for name in network.layers.style:
                part = tile.of(name, regions[name]) if regions else None
                sums[name] = sums.get(name, 0) + gram(features[name], part)
        return {
            name: matrices / region_areas(matrices, prod(shapes[name][-2:]), regions.get(name))[:, None, None]
            for name, matrices in sums.items()
        }


def _with_matched_colors(style: InputImage, content: InputImage, config: StyleTransferConfig) -> InputImage:
    if config.match_color is None:
        return style
    values = match_colors(style.image.values, content.image.values, config.match_color)
    return replace(style, image=replace(style.image, values=values))
