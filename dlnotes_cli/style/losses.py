"""The losses of neural style transfer (Gatys, Ecker and Bethge, CVPR 2016)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor

LossNormalization = Literal["relative", "notes"]
ContentLoss = Literal["mean", "half-sum"]
Positions = tuple[slice, slice]  # rows and columns of features
Features = Mapping[str, Tensor]  # by layer, each (1, C, H, W)
_EPSILON = 1e-12  # keeps the divisor above 0 for constant images


def gram(features: Tensor) -> Tensor:
    """Gram matrix (C, C) of features (1, C, H, W): products of channels, summed over all positions.

    In float32, or float64 for float64 features.
    """
    flat = _at_least_float32(features.flatten(2).squeeze(0))
    return flat @ flat.T


def total_variation(image: Tensor) -> Tensor:
    """Mean squared differences between vertical and between horizontal neighbors of an image (1, C, H, W)."""
    return image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()


class Losses(NamedTuple):
    """The weighted total and its unweighted terms; scalar tensors."""

    total: Tensor
    content: Tensor
    style: Tensor
    variation: Tensor


@dataclass(frozen=True)
class GramSums:
    """Gram matrices of the regions of an image by layer, summed over positions; those of tiles add up to the whole.

    A region is a weight in 0..1 for each position. Without regions, the whole image is the only one.
    """

    grams: Mapping[str, Tensor]  # (R, C, C)
    areas: Mapping[str, Tensor]  # (R,): the sums of the weights
    positions: Mapping[str, int]

    @classmethod
    def of(cls, features: Features, layers: Iterable[str], regions: Mapping[str, Tensor] | None = None) -> Self:
        """The sums of features (1, C, H, W) by layer, with the weights (R, H, W) of `regions`."""
        grams, areas, positions = {}, {}, {}
        for name in layers:
            values = features[name]
            positions[name] = values.shape[2] * values.shape[3]
            if regions is None:
                grams[name] = gram(values)[None]
                areas[name] = grams[name].new_full((1,), positions[name])
            else:
                weights = regions[name]
                grams[name] = torch.stack([gram(values * weight.sqrt().to(values.dtype)) for weight in weights])
                areas[name] = weights.sum((1, 2))
        return cls(grams, areas, positions)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            {name: matrix + other.grams[name] for name, matrix in self.grams.items()},
            {name: area + other.areas[name] for name, area in self.areas.items()},
            {name: count + other.positions[name] for name, count in self.positions.items()},
        )

    def normalized(self, name: str, normalization: LossNormalization) -> Tensor:
        """Gram matrices (R, C, C) of a layer: means over their regions, for `notes` times the number of positions."""
        divisor = self.areas[name].clamp(min=_EPSILON)
        if normalization == "notes":
            divisor = divisor / self.positions[name]
        return self.grams[name] / divisor[:, None, None]

    def shares(self, name: str) -> Tensor:
        """The fraction of the area (R,) that each region has at a layer."""
        return self.areas[name] / self.areas[name].sum()


@dataclass(frozen=True)
class LossSums:
    """What the losses of an image are computed from; those of its tiles add up to those of the whole."""

    content: Tensor  # squared differences from the content's features
    style: GramSums

    def __add__(self, other: Self) -> Self:
        return type(self)(self.content + other.content, self.style + other.style)

    @property
    def tensors(self) -> list[Tensor]:
        """Those that depend on the pixels."""
        return [self.content, *self.style.grams.values()]

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        """The same with other `tensors`."""
        content, *grams = tensors
        style = replace(self.style, grams=dict(zip(self.style.grams, grams, strict=True)))
        return type(self)(content, style)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of the loss (alpha and beta of the paper), and of the style layers within the style term."""

    content: float
    style: float
    variation: float
    style_layers: Mapping[str, float]


@dataclass(frozen=True)
class StyleTransferLoss:
    """The loss of an image compared with the features of a content image and the Gram matrices of a style.

    `relative`: each squared distance is divided by the squared norm of its target, so that layers, networks and image
    sizes have comparable losses; Gram matrices are divided by the number of positions, layer weights by their sum.
    `notes`, the course's notebook: mean squared differences of features and of Gram matrices, the latter divided by
    channels times positions; with `half-sum`, the content loss is half the sum of the squared differences, as in the
    paper. The style losses of regions (Gatys et al., CVPR 2017) are weighted by their areas.
    """

    content_layer: str
    content: Tensor  # features of the content image
    grams: Mapping[str, Tensor]  # (R, C, C) by style layer, as `GramSums.normalized` returns them
    weights: LossWeights
    normalization: LossNormalization
    regions: Mapping[str, Tensor] | None = None  # by style layer: weights (R, H, W) of the image's positions
    content_loss: ContentLoss = "mean"

    def __call__(self, features: Features, image: Tensor) -> Losses:
        """The losses of an image (1, 3, H, W) with these features, in float32, or float64 for float64 features."""
        return self.of_sums(self.sums(features), image)

    def sums(self, features: Features, positions: Mapping[str, Positions] | None = None) -> LossSums:
        """The sums of features that are at these rows and columns of each layer, by default at all of them."""
        content, regions = self.content, self.regions
        if positions is not None:
            content = content[:, :, *positions[self.content_layer]]
            regions = regions and {name: weights[:, *positions[name]] for name, weights in regions.items()}
        difference = _at_least_float32(features[self.content_layer]) - content
        return LossSums(difference.square().sum(), GramSums.of(features, self.weights.style_layers, regions))

    def of_sums(self, sums: LossSums, image: Tensor) -> Losses:
        """The losses of an image (1, 3, H, W) with these sums over all positions."""
        content = self._content(sums.content)
        layers = self._normalized_layers()
        style = torch.stack([weight * self._style(name, sums.style) for name, weight in layers]).sum()
        variation = total_variation(image)
        total = self.weights.content * content + self.weights.style * style + self.weights.variation * variation
        return Losses(total, content, style, variation)

    def _content(self, squared: Tensor) -> Tensor:
        if self.normalization == "notes" and self.content_loss == "half-sum":
            return squared / 2
        mean = squared / self.content.numel()
        if self.normalization == "notes":
            return mean
        return mean / self.content.square().mean().clamp(min=_EPSILON)

    def _normalized_layers(self) -> list[tuple[str, float]]:
        layers = self.weights.style_layers
        divisor = sum(layers.values()) if self.normalization == "relative" else 1.0
        return [(name, weight / divisor) for name, weight in layers.items()]

    def _style(self, name: str, sums: GramSums) -> Tensor:
        target = self.grams[name]
        squared = (sums.normalized(name, self.normalization) - target).square()
        if self.normalization == "notes":
            losses = squared.mean((1, 2)) / (target.shape[1] * sums.positions[name])
        else:
            losses = squared.sum((1, 2)) / target.square().sum((1, 2)).clamp(min=_EPSILON)
        return (losses * sums.shares(name)).sum()


def style_grams(features: Features, layers: Iterable[str], normalization: LossNormalization) -> dict[str, Tensor]:
    """Gram matrices (1, C, C) of a whole style image by layer: the targets of the style loss."""
    sums = GramSums.of(features, layers)
    return {name: sums.normalized(name, normalization) for name in sums.grams}


def _at_least_float32(values: Tensor) -> Tensor:
    return values if values.dtype in {torch.float32, torch.float64} else values.float()
