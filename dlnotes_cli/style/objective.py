"""The loss of an image as a function of its pixels, and its targets; computed in tiles if memory is short."""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor

from dlnotes_cli.style.color_matching import match_colors
from dlnotes_cli.style.images import InputImage, Size, StyleImage, scaled_to_at_least, with_margin
from dlnotes_cli.style.losses import (
    Features,
    GramSums,
    Losses,
    LossNormalization,
    LossSums,
    LossWeights,
    StyleTransferLoss,
)
from dlnotes_cli.style.setup import StyleSetup, Stylization
from dlnotes_cli.style.tiles import Tile, features_by_tile, make_tiles


class ImageObjective:
    """The losses of an image (1, 3, H, W) with a gradient for its pixels.

    With several tiles, a first pass sums what the losses are computed from (Gram matrices and squared differences are
    sums over positions), and a second one applies the chain rule in one tile after the other. Losses and gradient
    equal those of the whole image up to rounding, and the memory for activations is that of one tile.
    """

    def __init__(self, network: Callable[[Tensor], Features], loss: StyleTransferLoss, tiles: Sequence[Tile]) -> None:
        self._network, self._loss, self._tiles = network, loss, tiles

    def __call__(self, image: Tensor) -> Losses:
        """The losses; where gradients are enabled, that of `total` can be computed."""
        if len(self._tiles) == 1:
            return self._loss(self._network(image), image)
        with torch.no_grad():
            sums = reduce(add, (self._sums(image[:, :, *tile.crop], tile) for tile in self._tiles))
        losses = self._loss.of_sums(sums, image)
        if not torch.is_grad_enabled():
            return losses
        products = (self._gradient(sums, image) * image).sum()
        return losses._replace(total=losses.total + (products - products.detach()))  # adds 0, and the gradient

    def _gradient(self, sums: LossSums, image: Tensor) -> Tensor:
        """The gradient (1, 3, H, W) of the content and style losses."""
        leaves = [tensor.detach().requires_grad_() for tensor in sums.tensors]
        total = self._loss.of_sums(sums.with_tensors(leaves), image.detach()).total
        of_sums = torch.autograd.grad(total, leaves)
        gradient = torch.zeros_like(image, requires_grad=False)
        for tile in self._tiles:
            crop = image[:, :, *tile.crop].detach().requires_grad_()
            (part,) = torch.autograd.grad(self._sums(crop, tile).tensors, crop, of_sums)
            gradient[:, :, *tile.crop] += part
        return gradient

    def _sums(self, crop: Tensor, tile: Tile) -> LossSums:
        return self._loss.sums(tile.cut(self._network(crop)), tile.positions)


class TargetBuilder:
    """The targets of one result: features of its content, Gram matrices of its styles."""

    def __init__(self, setup: StyleSetup, stylization: Stylization) -> None:
        self._setup, self._content, self._ratio = setup, stylization.content, stylization.ratio
        self._is_notes = setup.config.recipe == "notes"
        self._normalization: LossNormalization = "notes" if self._is_notes else "relative"
        self._styles = [_with_matched_colors(style, self._content, setup) for style in setup.styles]

    @torch.no_grad()
    def objective(self, size: Size, margin: int) -> ImageObjective:
        """The objective of an image of (H, W) with a margin around it."""
        setup, layers = self._setup, self._setup.network.layers
        image = with_margin(self.normalized(self._content, size), margin)
        height, width = image.shape[2], image.shape[3]
        tiles = self._tiles((height, width))
        regions = None
        if setup.masks is not None:
            feature_sizes = setup.network.truncated.feature_sizes(height, width)
            regions = setup.masks.content_regions(size, margin, feature_sizes)
            regions = {name: regions[name].to(image.device) for name in layers.style}
        content_weight, style_weight = (1.0, 1 / self._ratio) if self._is_notes else (self._ratio, 1.0)
        loss = StyleTransferLoss(
            layers.content,
            self._content_features(image, tiles),
            self.style_grams(size),
            LossWeights(content_weight, style_weight, setup.recipe.tv, layers.style),
            self._normalization,
            regions,
            setup.config.content_loss,
        )
        return ImageObjective(setup.network, loss, tiles)

    @torch.no_grad()
    def style_grams(self, size: Size) -> dict[str, Tensor]:
        """Gram matrices (R, C, C) by layer for a result of (H, W); those of several images are averaged by weight."""
        total_weight = sum(style.weight for style in self._styles)
        grams: dict[str, Tensor] = {}
        for style in self._styles:
            style_size = self._style_size(style.image, size)
            for name, matrices in self._grams(style.image, style_size, is_style=True).items():
                grams[name] = grams.get(name, 0) + matrices * (style.weight / total_weight)
        return grams

    @torch.no_grad()
    def image_grams(self, image: InputImage, size: Size) -> dict[str, Tensor]:
        """Gram matrices (R, C, C) by layer of a content image or a result, scaled to (H, W)."""
        return self._grams(image, size, is_style=False)

    def normalized(self, image: InputImage, size: Size) -> Tensor:
        """An image (1, 3, H, W) as the network expects it, on its device."""
        network = self._setup.network
        return network.normalization(image.pixels(size).to(network.runtime.device))

    def _grams(self, image: InputImage, size: Size, *, is_style: bool) -> dict[str, Tensor]:
        setup, layers = self._setup, self._setup.network.layers
        regions = None
        if setup.masks is not None:
            sizes = setup.network.truncated.feature_sizes(*size)
            masks = setup.masks
            regions = masks.style_regions(size, sizes) if is_style else masks.content_regions(size, 0, sizes)
            regions = {name: weights.to(setup.network.runtime.device) for name, weights in regions.items()}
        parts = (
            GramSums.of(features, layers.style, regions and _cut(regions, tile))
            for tile, features in features_by_tile(setup.network, self.normalized(image, size), self._tiles(size))
        )
        sums = reduce(add, parts)
        return {name: sums.normalized(name, self._normalization) for name in layers.style}

    def _content_features(self, image: Tensor, tiles: Sequence[Tile]) -> Tensor:
        network = self._setup.network
        name = network.layers.content
        if len(tiles) == 1:
            return network(image)[name].float()
        result: Tensor | None = None
        height, width = network.truncated.feature_sizes(image.shape[2], image.shape[3])[name]
        for tile, features in features_by_tile(network, image, tiles):
            values = features[name]
            if result is None:
                result = values.new_empty((1, values.shape[1], height, width), dtype=torch.float32)
            result[:, :, *tile.positions[name]] = values
        if result is None:
            raise RuntimeError("no tiles")
        return result

    def _tiles(self, size: Size) -> list[Tile]:
        return make_tiles(*size, self._setup.config.tile, self._setup.network.truncated.windows())

    def _style_size(self, image: InputImage, size: Size) -> Size:
        """The size at which style features are computed; the notebook stretches the style to the content's size."""
        if self._is_notes:
            return size
        longer_side = max(size) * self._setup.config.style_scale
        return scaled_to_at_least(image.size, longer_side, self._setup.network.min_side)


def _cut(regions: dict[str, Tensor], tile: Tile) -> dict[str, Tensor]:
    return {name: weights[:, *tile.positions[name]] for name, weights in regions.items()}


def _with_matched_colors(style: StyleImage, content: InputImage, setup: StyleSetup) -> StyleImage:
    method = setup.config.match_color
    if method is None:
        return style
    values = match_colors(style.image.image.values, content.image.values, method)
    return style.with_values(values)
