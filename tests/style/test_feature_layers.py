"""Layers of the feature networks: their names and defaults, and networks cut after the last requested layer."""

from typing import get_args

import pytest
import torch
from torch import nn
from torchvision import models

from dlnotes_cli.style.feature_layers import DEFAULT_LAYERS, TruncatedNetwork, named_layers
from dlnotes_cli.style.recipes import Pooling


def features(name: str) -> nn.Sequential:
    with torch.device("meta"):
        return models.get_model(name, weights=None).features  # type: ignore[no-any-return]


def test_vgg19_layers_have_the_indices_of_the_course() -> None:
    indices = {layer: i for i, (layer, _) in enumerate(named_layers(features("vgg19"))) if layer}
    course = {"conv1_1": 0, "conv2_1": 5, "conv3_1": 10, "conv4_1": 19, "conv4_2": 21, "conv5_1": 28}
    assert {layer: indices[layer] for layer in course} == course
    blocks = [f"{block}_{i}" for block in range(1, 6) for i in range(1, 5 if block > 2 else 3)]
    assert list(indices) == [f"{kind}{name}" for name in blocks for kind in ("conv", "relu")]


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_squeezenet_layers_are_its_fire_modules(name: str) -> None:
    assert [layer for layer, _ in named_layers(features(name)) if layer] == [
        "conv1", "relu1", *(f"fire{i}" for i in range(2, 10))
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(DEFAULT_LAYERS) - {"small"}))
def test_the_default_layers_exist(name: str) -> None:
    names = {layer for layer, _ in named_layers(features(name))}
    assert {DEFAULT_LAYERS[name].content, *DEFAULT_LAYERS[name].style} <= names


def two_blocks() -> nn.Sequential:
    """Two blocks with random weights, the same at each call."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(inplace=True),
    )  # fmt: skip


def test_no_relu_overwrites_features() -> None:
    x = torch.randn(1, 3, 8, 9)
    reference = two_blocks()
    expected = reference[0](x)
    outputs = TruncatedNetwork(two_blocks(), {"conv1_1", "relu1_1", "conv2_2"}, pooling="max", padding="zeros")(x)
    torch.testing.assert_close(outputs["conv1_1"], expected)
    assert (outputs["conv1_1"] < 0).any()
    torch.testing.assert_close(outputs["relu1_1"], expected.relu())
    torch.testing.assert_close(outputs["conv2_2"], reference[:6](x))


def test_layers_after_the_last_requested_one_are_dropped() -> None:
    network = TruncatedNetwork(two_blocks(), {"conv2_1", "conv1_1"}, pooling="max", padding="zeros")
    assert len(network.layers) == 4
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_average_pooling_and_reflection_padding() -> None:
    x = torch.randn(1, 3, 8, 8)
    average = TruncatedNetwork(two_blocks(), {"conv2_1"}, pooling="avg", padding="zeros")(x)["conv2_1"]
    reference = two_blocks()
    torch.testing.assert_close(average, reference[3](nn.functional.avg_pool2d(reference[0](x).relu(), 2)))
    reflected = TruncatedNetwork(two_blocks(), {"conv1_1"}, pooling="avg", padding="reflect")(x)["conv1_1"]
    padded = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
    first = reference[0]
    assert isinstance(first, nn.Conv2d)
    torch.testing.assert_close(reflected, nn.functional.conv2d(padded, first.weight, first.bias))
    constant = torch.full((1, 3, 12, 12), 0.7)
    deep = TruncatedNetwork(two_blocks(), {"relu2_2"}, pooling="avg", padding="reflect")(constant)["relu2_2"]
    torch.testing.assert_close(deep, deep[..., :1, :1].expand_as(deep))  # the border is like the rest


def test_a_network_with_average_pooling_has_blocks_and_may_take_maxima() -> None:
    pooled_by_mean = nn.Sequential(
        *(nn.AvgPool2d(2) if isinstance(layer, nn.MaxPool2d) else layer for layer in two_blocks())
    )
    assert [name for name, _ in named_layers(pooled_by_mean)] == [name for name, _ in named_layers(two_blocks())]
    x = torch.randn(1, 3, 8, 8)
    for pooling in get_args(Pooling):
        outputs = [
            TruncatedNetwork(network, {"conv2_2"}, pooling=pooling, padding="zeros")(x)["conv2_2"]
            for network in (pooled_by_mean, two_blocks())
        ]
        assert torch.equal(*outputs)


def test_batch_normalization_is_merged_into_the_convolution_before_it() -> None:
    torch.manual_seed(1)
    features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    features.train()(torch.randn(8, 3, 6, 6) * 3 + 1)  # running statistics other than 0 and 1
    x = torch.randn(1, 3, 6, 6)
    expected = features.eval()(x)
    network = TruncatedNetwork(features, {"relu1_1"}, pooling="avg", padding="zeros")
    torch.testing.assert_close(network(x)["relu1_1"], expected, rtol=1e-4, atol=1e-5)
    assert len(network.layers) == 2
