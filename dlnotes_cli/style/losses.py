"""The losses of neural style transfer (Gatys, Ecker and Bethge, CVPR 2016)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

LossNormalization = Literal["relative", "notes"]
Features = Mapping[str, Tensor]  # by layer, each (1, C, H, W)
_EPSILON = 1e-12  # keeps the divisor above 0 for constant images


def gram(features: Tensor) -> Tensor:
    """Gram matrix (C, C) of features (1, C, H, W): products of channels, summed over all positions.

    In float32, or float64 for float64 features.
    """
    matrix: Tensor = _Gram.apply(features.flatten(2).squeeze(0))  # type: ignore[no-untyped-call]
    return matrix


class _Gram(torch.autograd.Function):
    """F Fᵀ with the gradient (G + Gᵀ) F in one product; autograd would compute two."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor) -> Tensor:
        ctx.save_for_backward(flat)
        values = _at_least_float32(flat)
        return values @ values.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (flat,), (gradient,) = ctx.saved_tensors, gradients
        channels_last: Tensor = flat.T @ (gradient + gradient.T).to(flat.dtype)  # the memory format of the features
        return channels_last.T


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
    channels times positions.
    """

    content_layer: str
    content: Tensor  # features of the content image
    grams: Mapping[str, Tensor]  # by style layer, as `style_grams` returns them
    weights: LossWeights
    normalization: LossNormalization

    def __call__(self, features: Features, image: Tensor) -> Losses:
        """The losses of an image (1, 3, H, W) with these features, in float32, or float64 for float64 features."""
        content_features = _at_least_float32(features[self.content_layer])
        content = (content_features - self.content).square().mean()
        if self.normalization == "relative":
            content = content / self.content.square().mean().clamp(min=_EPSILON)
        layers = self._normalized_layers()
        style = torch.stack([weight * self._style(name, features[name]) for name, weight in layers]).sum()
        variation = total_variation(image)
        total = self.weights.content * content + self.weights.style * style + self.weights.variation * variation
        return Losses(total, content, style, variation)

    def _normalized_layers(self) -> list[tuple[str, float]]:
        layers = self.weights.style_layers
        divisor = sum(layers.values()) if self.normalization == "relative" else 1.0
        return [(name, weight / divisor) for name, weight in layers.items()]

    def _style(self, name: str, features: Tensor) -> Tensor:
        target = self.grams[name]
        positions = features.shape[2] * features.shape[3]
        if self.normalization == "notes":
            return (gram(features) - target).square().mean() / (features.shape[1] * positions)
        return (gram(features) / positions - target).square().sum() / target.square().sum().clamp(min=_EPSILON)


def style_grams(features: Features, layers: Mapping[str, float], normalization: LossNormalization) -> dict[str, Tensor]:
    """Gram matrices of a style image by layer: the targets of the style loss."""
    grams: dict[str, Tensor] = {}
    for name in layers:
        positions = features[name].shape[2] * features[name].shape[3]
        grams[name] = gram(features[name]) / (positions if normalization == "relative" else 1)
    return grams


def _at_least_float32(values: Tensor) -> Tensor:
    return values if values.dtype in {torch.float32, torch.float64} else values.float()
