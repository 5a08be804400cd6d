"""The losses of style transfer and their tiles, compared with plain formulas, finite differences and whole images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision import models

from dlnotes_cli.style.network import Features, TruncatedNetwork
from dlnotes_cli.style.objective import WHOLE, Losses, StyleTransferLoss, Tile, gram, make_tiles, style_target

RECIPES = pytest.mark.parametrize("is_notes", [False, True])
LAYER_WEIGHTS = {"a": 0.5, "b": 1.5}


def random_tensor(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def mean_gram(features: Tensor) -> Tensor:
    return gram(features) / (features.shape[2] * features.shape[3])


@given(shape=st.tuples(st.just(1), st.integers(1, 5), st.integers(2, 6), st.integers(2, 6)), seed=st.integers(0, 99))
def test_a_gram_matrix_is_the_sum_of_products_over_all_positions(shape: tuple[int, ...], seed: int) -> None:
    features, regions = random_tensor(shape, seed), random_tensor((2, *shape[2:]), seed + 1).abs()
    values = features[0].numpy()
    np.testing.assert_allclose(gram(features)[0].numpy(), np.einsum("chw,dhw->cd", values, values), atol=1e-12)
    expected = np.einsum("chw,dhw,rhw->rcd", values, values, regions.numpy())
    np.testing.assert_allclose(gram(features, regions).numpy(), expected, atol=1e-12)


def make_loss(content: Tensor, style: Mapping[str, Tensor], **values: Any) -> StyleTransferLoss:
    """A loss of features "content", "a" and "b", which are computed by the network of `values`."""
    is_notes = values.pop("is_notes", False)
    targets = {
        name: style_target(mean_gram(one), one[0, 0].numel(), LAYER_WEIGHTS[name], is_notes=is_notes)
        for name, one in style.items()
    }
    return StyleTransferLoss(
        content_layer="content", content=content, content_factor=0.25, style=targets, weights=(0.7, 3.0, 0.2),
        tiles=[WHOLE], **values,
    )  # fmt: skip


@RECIPES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_losses_equal_those_of_a_plain_implementation(is_notes: bool, dtype: torch.dtype) -> None:
    content, features, image = (random_tensor((1, 4, 5, 6), seed).to(dtype) for seed in range(3))
    targets, style = (
        {name: random_tensor((1, 3 + i, 4, 5), start + i).to(dtype) for i, name in enumerate("ab")} for start in (7, 17)
    )
    losses = make_loss(content, targets, is_notes=is_notes, network=lambda _: {"content": features, **style})(image)
    c, f, p = (values.double().numpy()[0] for values in (content, features, image))
    expected_content = 0.25 * ((f - c) ** 2).sum()
    expected_style = 0.0
    for name, weight in LAYER_WEIGHTS.items():
        s, t = (values[name].double().numpy()[0] for values in (targets, style))
        target, actual = (np.einsum("chw,dhw->cd", v, v) for v in (s, t))
        squared = (actual - target) ** 2
        expected_style += weight * (squared.mean() / t.size if is_notes else squared.sum() / (target**2).sum())
    variation = (np.diff(p, axis=1) ** 2).mean() + (np.diff(p, axis=2) ** 2).mean()
    total = 0.7 * expected_content + 3.0 * expected_style + 0.2 * variation
    rel = 1e-5 if dtype == torch.float32 else 1e-12
    for found, expected in zip(losses, (total, expected_content, expected_style, variation), strict=True):
        assert float(found) == pytest.approx(expected, rel=rel)


@pytest.mark.parametrize("term", Losses._fields)
def test_gradients_equal_finite_differences(term: str) -> None:
    kernel = random_tensor((4, 3, 3, 3), 5)

    def extract(image: Tensor) -> dict[str, Tensor]:
        first = nn.functional.conv2d(image, kernel).tanh()
        return {"content": first, "a": first, "b": first.square()}

    content, style = (extract(random_tensor((1, 3, 6, 7), seed)) for seed in (1, 2))
    loss = make_loss(content["content"], {name: style[name] for name in "ab"}, network=extract)

    def value(image: Tensor) -> Tensor:
        return getattr(loss(image), term)  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(value, random_tensor((1, 3, 6, 7), 3).requires_grad_(True))


@RECIPES
def test_the_style_loss_of_regions_is_that_of_each_weighted_by_its_area(is_notes: bool) -> None:
    generator = np.random.default_rng(0)
    image, style = (torch.tensor(generator.normal(size=(1, 3, 4, 5))) for _ in range(2))
    weights, style_weights = (torch.tensor(generator.uniform(size=(2, 4, 5))) for _ in range(2))
    grams = gram(style, style_weights) / style_weights.sum((1, 2))[:, None, None]
    targets = {"content": style_target(grams, 20, 1.0, weights, is_notes=is_notes)}
    loss = StyleTransferLoss(lambda x: {"content": x}, "content", image, 1.0, targets, (1.0, 1.0, 0.0), [WHOLE])
    expected = 0.0
    for region in range(2):
        actual, target = (
            np.einsum("chw,dhw,hw->cd", values[0].numpy(), values[0].numpy(), weight[region].numpy())
            / weight[region].sum().item()
            for values, weight in ((image, weights), (style, style_weights))
        )
        squared = (actual - target) ** 2
        share = float(weights[region].sum() / weights.sum())
        expected += share * (squared.mean() * 20 / 3 if is_notes else squared.sum() / (target**2).sum())
    assert float(loss(image).style) == pytest.approx(expected, rel=1e-12)


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
    assert network.shapes(height, width) == {key: value.shape for key, value in whole.items()}
    tiles = make_tiles(height, width, side, network.windows)
    assert len(tiles) == -(-height // side) * -(-width // side)
    owners = {layer: torch.zeros(features.shape[2:]) for layer, features in whole.items()}
    for tile in tiles:
        for layer, own in tile.features(network, image).items():
            tile.of(layer, owners[layer]).add_(1)
            torch.testing.assert_close(own, tile.of(layer, whole[layer]), rtol=1e-10, atol=1e-12)
    assert all(bool((count == 1).all()) for count in owners.values())  # each position belongs to one tile


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("has_regions", [False, True])
def test_losses_and_gradient_of_tiles_equal_those_of_the_whole_image(name: str, has_regions: bool) -> None:
    network = network_of(name)
    content, style = (torch.rand(1, 3, 83, 77, dtype=torch.float64) for _ in range(2))
    content_layer, *style_layers = sorted(LAYERS[name], reverse=True)
    features, targets = network(content), {}
    for layer, values in network(style).items():
        if layer in style_layers:
            regions = torch.rand(2, *values.shape[2:], dtype=torch.float64) if has_regions else None
            targets[layer] = style_target(
                mean_gram(values).repeat(1 + has_regions, 1, 1), values[0, 0].numel(), 1.0, regions
            )
    largest = [0]

    def watched(image: Tensor) -> Features:
        largest[0] = max(largest[0], image.shape[2])
        return network(image)  # type: ignore[no-any-return]

    def evaluate(tiles: list[Tile]) -> tuple[Tensor, Tensor]:
        image = content.flip(3).requires_grad_()
        weights = (0.7, 3.0, 0.2)
        loss = StyleTransferLoss(watched, content_layer, features[content_layer], 0.1, targets, weights, tiles)
        losses = loss(image)
        (gradient,) = torch.autograd.grad(losses.total * 1000, image)
        return torch.stack(losses).detach(), gradient

    tiles = make_tiles(83, 77, 40, network.windows)
    found, gradient = evaluate(tiles)
    assert (len(tiles), largest[0]) == (6, max(len(range(83)[tile.rows.low : tile.rows.high]) for tile in tiles))
    expected, expected_gradient = evaluate([WHOLE])
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    scale = float(expected_gradient.abs().max())
    assert scale > 0
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-8, atol=1e-10 * scale)
