"""Initial weights: their distributions against NumPy's formulas, for linear and convolutional layers."""

import math

import pytest
import torch
from torch import nn

from dlnotes_cli.networks.choices import parse_init
from dlnotes_cli.networks.registry import initialize


def layers() -> list[nn.Linear | nn.Conv2d]:
    torch.manual_seed(0)
    return [nn.Linear(300, 200), nn.Conv2d(16, 64, (3, 5), bias=False)]


@pytest.mark.parametrize(
    ("text", "deviations"),
    [  # of the linear and of the convolutional layer, whose fan-ins are 300 and 240, and fan-outs 200 and 960
        ("normal:0.25", (0.25, 0.25)),
        ("normal", (300**-0.5, 240**-0.5)),
        ("uniform", ((300 * 3) ** -0.5, (240 * 3) ** -0.5)),
        ("he", (math.sqrt(2 / 300), math.sqrt(2 / 240))),
        ("xavier", (math.sqrt(2 / 500), math.sqrt(2 / 1200))),
    ],
)
def test_the_standard_deviations_are_those_of_the_papers(text: str, deviations: tuple[float, float]) -> None:
    for layer, deviation in zip(layers(), deviations, strict=True):
        initialize(layer, parse_init(text))
        weight = layer.weight.detach().double()
        assert float(weight.std()) == pytest.approx(deviation, rel=0.03)
        assert abs(float(weight.mean())) < 5 * deviation / math.sqrt(weight.numel())


@pytest.mark.parametrize(("text", "value"), [("constant:-0.75", -0.75), ("zeros", 0.0), ("ones", 1.0)])
def test_constant_weights(text: str, value: float) -> None:
    for layer in layers():
        initialize(layer, parse_init(text))
        assert layer.weight.detach().unique().tolist() == [value]


def test_the_default_changes_nothing_and_batch_norm_never_changes() -> None:
    norm = nn.BatchNorm1d(3)
    initialize(norm, parse_init("constant:5"))
    assert (norm.weight.unique().tolist(), norm.bias.unique().tolist()) == ([1], [0])
    for layer, same in zip(layers(), layers(), strict=True):
        initialize(layer, parse_init("default"))
        assert layer.weight.equal(same.weight)


@pytest.mark.parametrize(
    "text",
    ["uniform:1", "uniform:1,0", "uniform:0,nan", "uniform:1,2,3", "normal:0", "normal:-1", "normal:a", "constant",
     "constant:inf", "zeros:1", "he:2", "hee", "", "normal:1,2", "constant:1e9"],
)  # fmt: skip
def test_invalid_initializations(text: str) -> None:
    with pytest.raises(ValueError, match=r"needs|none of|has no number"):
        parse_init(text)
