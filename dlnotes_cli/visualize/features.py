"""Feature vectors: the output of a layer, averaged over positions, for every image of a data set."""

import torch
from torch import Tensor

from dlnotes_cli.data.cache.request import FeatureExtractor
from dlnotes_cli.training.features import cached_features
from dlnotes_cli.training.inspection.layers import NamedLayer
from dlnotes_cli.training.inspection.network import InspectedNetwork


def feature_layer(network: InspectedNetwork, name: str | None) -> NamedLayer:
    """The layer called `name`, by default the last one before the output layer. Raises InputError."""
    if name is not None:
        return network.layer(name)
    return network.layers[max(0, network.layers.index(network.output_layer) - 1)]


def feature_width(layer: NamedLayer) -> int:
    """Number of features of an image: channels of maps, or values of a token."""
    return layer.shape[-1] if len(layer.shape) == 2 else layer.shape[0]  # noqa: PLR2004  # (tokens, values)


def feature_extractor(network: InspectedNetwork, layer: NamedLayer) -> FeatureExtractor:
    """The computation of features (n, F) from pixels, cached as those of `transfer` are."""

    def compute(samples: Tensor, _seeds: Tensor) -> Tensor:
        outputs = network.activations(network.prepare(samples), [layer])[layer.name].float()
        if outputs.ndim == 3:  # noqa: PLR2004  # (N, tokens, values)
            return outputs.mean(dim=1)
        return outputs.flatten(2).mean(dim=2) if outputs.ndim > 3 else outputs  # noqa: PLR2004  # (N, C, H, W)

    shape = network.preprocessing.image_shape
    name = f"{network.kind}-{network.digest}-{layer.name}-{shape}"
    return cached_features(name, feature_width(layer), compute, network.runtime)


def normalized(features: Tensor) -> Tensor:
    """Features (N, F) with norm 1, so that their products are cosines; zeros stay zeros."""
    return torch.nn.functional.normalize(features.double(), dim=1)
