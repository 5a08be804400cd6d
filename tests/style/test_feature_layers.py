"""Feature networks: layers by name, none overwritten, none run that is not needed."""

import pytest
import torch
from torch import nn
from torchvision import models

from dlnotes_cli.style.feature_networks import DEFAULTS, SMALL_LAYERS, StyleNet, named_layers

CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


def features(name: str) -> nn.Sequential:
    with torch.device("meta"):
        return models.get_model(name, weights=None).features  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_vgg_s_layers_have_the_names_of_the_paper(name: str) -> None:
    found = [layer for layer, _ in named_layers(features(name)) if layer]
    expected = [
        f"{kind}{block}_{i}"
        for block, count in enumerate(CONVOLUTIONS[name], 1)
        for i in range(1, count + 1)
        for kind in ("conv", "relu")
    ]
    assert found == expected


def test_the_course_s_indices_of_vgg19() -> None:
    places = {layer: i for i, (layer, _) in enumerate(named_layers(features("vgg19"))) if layer}
    course = {"conv1_1": 0, "conv2_1": 5, "conv3_1": 10, "conv4_1": 19, "conv4_2": 21, "conv5_1": 28}
    assert {layer: places[layer] for layer in course} == course


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_squeezenet_s_layers_are_its_fire_modules(name: str) -> None:
    assert [layer for layer, _ in named_layers(features(name)) if layer] == [
        "conv1", "relu1", *(f"fire{i}" for i in range(2, 10))
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(DEFAULTS) - {"small"}))
def test_the_usual_layers_are_there(name: str) -> None:
    known = {layer for layer, _ in named_layers(features(name))}
    assert {DEFAULTS[name].content, *DEFAULTS[name].style} <= known


def little() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(inplace=True),
    )  # fmt: skip


def test_features_are_taken_before_a_relu_overwrites_them() -> None:
    x = torch.randn(1, 3, 8, 9)
    plain = little()
    expected = plain[0](x)
    found = StyleNet(little(), {"conv1_1", "relu1_1", "conv2_2"}, pooling="max", padding="zeros")(x)
    torch.testing.assert_close(found["conv1_1"], expected)
    assert (found["conv1_1"] < 0).any()
    torch.testing.assert_close(found["relu1_1"], expected.relu())
    torch.testing.assert_close(found["conv2_2"], plain[:6](x))


def test_only_the_layers_that_are_needed_are_kept() -> None:
    assert len(StyleNet(little(), {"conv1_1"}, pooling="max", padding="zeros").layers) == 1
    network = StyleNet(little(), {"conv2_1", "conv1_1"}, pooling="max", padding="zeros")
    assert len(network.layers) == 4
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_pooling_by_mean_and_reflected_edges() -> None:
    x = torch.randn(1, 3, 8, 8)
    mean = StyleNet(little(), {"conv2_1"}, pooling="avg", padding="zeros")(x)["conv2_1"]
    plain = little()
    torch.testing.assert_close(mean, plain[3](nn.functional.avg_pool2d(plain[0](x).relu(), 2)))
    reflected = StyleNet(little(), {"conv1_1"}, pooling="avg", padding="reflect")(x)["conv1_1"]
    framed = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
    first = plain[0]
    assert isinstance(first, nn.Conv2d)
    torch.testing.assert_close(reflected, nn.functional.conv2d(framed, first.weight, first.bias))
    flat = StyleNet(little(), {"relu2_2"}, pooling="avg", padding="reflect")(torch.full((1, 3, 12, 12), 0.7))["relu2_2"]
    torch.testing.assert_close(flat, flat[..., :1, :1].expand_as(flat))  # no border


def test_batch_norm_goes_into_the_convolution_before_it() -> None:
    torch.manual_seed(1)
    features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    features.train()(torch.randn(8, 3, 6, 6) * 3 + 1)  # some statistics
    x = torch.randn(1, 3, 6, 6)
    expected = features.eval()(x)
    network = StyleNet(features, {"relu1_1"}, pooling="avg", padding="zeros")
    torch.testing.assert_close(network(x)["relu1_1"], expected, rtol=1e-4, atol=1e-5)
    assert len(network.layers) == 2


def test_the_small_network_is_about_a_quarter_of_a_million() -> None:
    from dlnotes_cli.models.cnn import CnnConfig, build_cnn

    layers = "; ".join(SMALL_LAYERS.strip().splitlines())
    network = build_cnn(CnnConfig(layers, (3, 32, 32), 10))
    assert sum(parameter.numel() for parameter in network.parameters()) == 279_466
    plain = nn.Sequential(*(layer for layer in network if not isinstance(layer, nn.BatchNorm2d)))
    assert {DEFAULTS["small"].content, *DEFAULTS["small"].style} <= {name for name, _ in named_layers(plain)}
