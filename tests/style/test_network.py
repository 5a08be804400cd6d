"""The feature networks: names and defaults of their layers, and networks cut after the last requested one."""

import pytest
import torch
from torch import nn
from torchvision import models

from dlnotes_cli.style.network import DEFAULT_LAYERS, TruncatedNetwork, named_layers
from dlnotes_cli.style.options import BEST, BEST_SMALL, BEST_SQUEEZENET, StyleTransferConfig, style_recipe


def features(name: str) -> nn.Sequential:
    with torch.device("meta"):
        return models.get_model(name, weights=None).features  # type: ignore[no-any-return]


def test_vgg19_layers_have_the_indices_of_the_course() -> None:
    indices = {layer: i for i, layer in enumerate(named_layers(features("vgg19")))}
    course = {"conv1_1": 0, "conv2_1": 5, "conv3_1": 10, "conv4_1": 19, "conv4_2": 21, "conv5_1": 28}
    assert {layer: indices[layer] for layer in course} == course
    blocks = [f"{block}_{i}" for block in range(1, 6) for i in range(1, 5 if block > 2 else 3)]
    assert [one for one in indices if "pool" not in one] == [
        f"{kind}{one}" for one in blocks for kind in ("conv", "relu")
    ]


def test_squeezenet_layers_are_its_fire_modules() -> None:
    for name in ("squeezenet1_0", "squeezenet1_1"):
        layers = [layer for layer in named_layers(features(name)) if "pool" not in layer]
        assert layers == ["conv1", "relu1", *(f"fire{i}" for i in range(2, 10))]


def two_blocks(pool: nn.Module | None = None) -> nn.Sequential:
    """Two blocks with random weights, the same at each call."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), pool or nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(inplace=True),
    )  # fmt: skip


def test_no_relu_overwrites_features_and_later_layers_are_dropped() -> None:
    x = torch.randn(1, 3, 8, 9)
    reference = two_blocks()
    expected = reference[0](x)
    network = TruncatedNetwork(two_blocks(), {"conv1_1", "relu1_1", "conv2_2"}, pooling="max", padding="zeros")
    outputs = network(x)
    torch.testing.assert_close(outputs["conv1_1"], expected)
    assert (outputs["conv1_1"] < 0).any()
    torch.testing.assert_close(outputs["relu1_1"], expected.relu())
    torch.testing.assert_close(outputs["conv2_2"], reference[:6](x))
    assert (len(network.layers), network.shapes(8, 9)["conv2_2"]) == (6, (1, 6, 4, 4))
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_average_pooling_and_reflection_padding() -> None:
    x = torch.randn(1, 3, 8, 8)
    average = TruncatedNetwork(two_blocks(), {"conv2_1"}, pooling="avg", padding="zeros")(x)["conv2_1"]
    reference = two_blocks()
    torch.testing.assert_close(average, reference[3](nn.functional.avg_pool2d(reference[0](x).relu(), 2)))
    maxima = TruncatedNetwork(two_blocks(nn.AvgPool2d(2)), {"conv2_1"}, pooling="max", padding="zeros")(x)["conv2_1"]
    torch.testing.assert_close(maxima, reference[:4](x))
    reflected = TruncatedNetwork(two_blocks(), {"conv1_1"}, pooling="avg", padding="reflect")(x)["conv1_1"]
    padded = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
    first = reference[0]
    assert isinstance(first, nn.Conv2d)
    torch.testing.assert_close(reflected, nn.functional.conv2d(padded, first.weight, first.bias))


def test_the_windows_of_vgg19_are_its_receptive_fields() -> None:
    layers = DEFAULT_LAYERS["vgg19"].style
    network = TruncatedNetwork(features("vgg19"), set(layers), pooling="avg", padding="zeros")
    widths = {name: window.high - window.low + 1 for name, window in network.windows.items()}
    # 3x3 convolutions add twice the stride so far, 2x2 poolings once: 3, 5 | 6, 10, 14 | 16, 24, 32, 40, 48 | 52, ...
    assert widths == {"conv1_1": 3, "conv2_1": 10, "conv3_1": 24, "conv4_1": 68, "conv5_1": 156}
    assert {name: window.jump for name, window in network.windows.items()} == {
        "conv1_1": 1, "conv2_1": 2, "conv3_1": 4, "conv4_1": 8, "conv5_1": 16
    }  # fmt: skip


COURSE = {"optimizer": "adam", "lr": 0.003, "steps": 2000, "scales": 1, "ratio": 1e-6, "tv": 0.0, "pooling": "max"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, vars(BEST_SMALL)),
        ({"backbone": "vgg19"}, vars(BEST)),
        ({"backbone": "squeezenet1_1"}, vars(BEST_SQUEEZENET)),
        ({"recipe": "notes", "backbone": "vgg19"}, COURSE),
        ({"recipe": "notes"}, {"pooling": "avg"}),  # with which small was trained
        ({"optimizer": "adam"}, {"lr": 0.02}),
        ({"recipe": "notes", "optimizer": "lbfgs"}, {"lr": 1.0}),
        ({"recipe": "notes", "optimizer": "adam"}, {"lr": 0.003}),
        ({"optimizer": "adam", "lr": 0.7, "steps": 7, "tv": 0.0}, {"lr": 0.7, "steps": 7, "tv": 0.0, "scales": 3}),
    ],
)
def test_options_and_backbone_change_the_recipe(options: dict[str, object], expected: dict[str, object]) -> None:
    recipe = vars(style_recipe(StyleTransferConfig(**options)))  # type: ignore[arg-type]
    assert {name: recipe[name] for name in expected} == expected
