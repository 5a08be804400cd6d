"""Tiles: features, losses and gradients equal those of the whole image, for every feature network and tile size."""

from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from dlnotes_cli.style.feature_layers import DEFAULT_LAYERS, TruncatedNetwork
from dlnotes_cli.style.losses import LossNormalization, LossWeights, StyleTransferLoss, style_grams
from dlnotes_cli.style.objective import ImageObjective
from dlnotes_cli.style.tiles import features_by_tile, make_tiles

LAYERS = {
    "vgg": {"conv1_1", "relu1_2", "conv2_1"},
    "squeezenet1_0": {"conv1", "fire2", "fire5"},
    "squeezenet1_1": {"relu1", "fire4"},
}
PADDING = {"vgg": "reflect", "squeezenet1_0": "replicate", "squeezenet1_1": "zeros"}


def network_of(name: str) -> TruncatedNetwork:
    """A network with random weights in float64; `vgg` has two small blocks."""
    torch.manual_seed(0)
    if name == "vgg":
        features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
    else:
        features = models.get_model(name, weights=None).features
    network = TruncatedNetwork(features, LAYERS[name], pooling="avg", padding=PADDING[name])  # type: ignore[arg-type]
    return network.double()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("height", "width", "side"), [(70, 101, 64), (131, 67, 40), (64, 97, 33), (90, 90, 500)])
def test_tiles_have_the_features_of_the_whole_image(name: str, height: int, width: int, side: int) -> None:
    network = network_of(name)
    image = torch.rand(1, 3, height, width, dtype=torch.float64)
    whole = network(image)
    assert network.feature_sizes(height, width) == {key: value.shape[2:] for key, value in whole.items()}
    tiles = make_tiles(height, width, side, network.windows())
    assert len(tiles) == -(-height // side) * -(-width // side)
    for layer, features in whole.items():
        owners = torch.zeros(features.shape[2:])
        for tile in tiles:
            owners[tile.positions[layer]] += 1
        assert bool((owners == 1).all())  # each position belongs to one tile
    for tile, own in features_by_tile(network, image, tiles):
        for layer, features in own.items():
            expected = whole[layer][:, :, *tile.positions[layer]]
            torch.testing.assert_close(features, expected, rtol=1e-10, atol=1e-12)


def test_the_windows_of_vgg19_are_its_receptive_fields() -> None:
    with torch.device("meta"):
        features = models.vgg19(weights=None).features
    layers = DEFAULT_LAYERS["vgg19"].style
    network = TruncatedNetwork(features, set(layers), pooling="avg", padding="zeros")
    widths = {name: window.high - window.low + 1 for name, window in network.windows().items()}
    # 3x3 convolutions add twice the stride so far, 2x2 poolings once: 3, 5 | 6, 10, 14 | 16, 24, 32, 40, 48 | 52, ...
    assert widths == {"conv1_1": 3, "conv2_1": 10, "conv3_1": 24, "conv4_1": 68, "conv5_1": 156}


def losses_of(name: str, normalization: LossNormalization, regions: bool) -> tuple[TruncatedNetwork, StyleTransferLoss]:
    network = network_of(name)
    content, style = (torch.rand(1, 3, 83, 77, dtype=torch.float64) for _ in range(2))
    content_layer, *style_layers = sorted(LAYERS[name], reverse=True)
    features = network(content)
    layers = {layer: 1.0 + i for i, layer in enumerate(style_layers)}
    grams = style_grams(network(style), layers, normalization)
    weights: dict[str, Tensor] | None = None
    if regions:
        grams = {layer: matrix.repeat(2, 1, 1) for layer, matrix in grams.items()}
        weights = {layer: torch.rand(2, *features[layer].shape[2:], dtype=torch.float64) for layer in layers}
    settings = LossWeights(0.7, 3.0, 0.2, layers)
    return network, StyleTransferLoss(content_layer, features[content_layer], grams, settings, normalization, weights)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("normalization", get_args(LossNormalization))
@pytest.mark.parametrize("regions", [False, True])
def test_losses_and_gradient_of_tiles_equal_those_of_the_whole_image(
    name: str, normalization: LossNormalization, regions: bool
) -> None:
    network, loss = losses_of(name, normalization, regions)
    image = torch.rand(1, 3, 83, 77, dtype=torch.float64, requires_grad=True)
    results = []
    for side in (None, 40):
        losses = ImageObjective(network, loss, make_tiles(83, 77, side, network.windows()))(image)
        (gradient,) = torch.autograd.grad(losses.total * 1000, image)
        results.append((torch.stack(losses).detach(), gradient))
    (expected, expected_gradient), (found, gradient) = results
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(
        gradient, expected_gradient, rtol=1e-8, atol=1e-10 * float(expected_gradient.abs().max())
    )
    assert float(gradient.abs().max()) > 0


def test_without_gradient_only_the_first_pass_is_computed() -> None:
    network, loss = losses_of("vgg", "relative", regions=False)
    calls: list[tuple[int, ...]] = []

    def counted(image: Tensor) -> dict[str, Tensor]:
        calls.append(tuple(image.shape))
        features: dict[str, Tensor] = network(image)
        return features

    tiles = make_tiles(83, 77, 40, network.windows())
    with torch.no_grad():
        ImageObjective(counted, loss, tiles)(torch.rand(1, 3, 83, 77, dtype=torch.float64))
    assert len(calls) == len(tiles) == 6
    assert max(height for _, _, height, _ in calls) < 60  # a tile and the surroundings of its features
