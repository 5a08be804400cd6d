"""The multi-layer perceptron: its parameters, its forward pass, its initialization."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.networks.choices import Activation
from dlnotes_cli.networks.mlp import MlpConfig, build_mlp
from dlnotes_cli.networks.registry import count_parameters

Floats = NDArray[np.float64]


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (MlpConfig(784, 10, (512, 512), dropout=0.2), 669_706),
        (MlpConfig(784, 10, (512, 256), batch_norm=True), 536_586),
        (MlpConfig(784, 10, (256,), activation="sigmoid"), 203_530),
        (MlpConfig(4, 3, ()), 15),
    ],
)
def test_the_networks_of_the_course_have_its_numbers_of_parameters(config: MlpConfig, parameters: int) -> None:
    with torch.device("meta"):
        assert count_parameters(build_mlp(config)) == parameters


def gelu(x: Floats) -> Floats:
    return np.asarray([[v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in row] for row in x])


FUNCTIONS: dict[Activation, Callable[[Floats], Floats]] = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "leaky-relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "gelu": gelu,
}


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", FUNCTIONS)
def test_the_forward_pass_agrees_with_numpy(activation: Activation, *, batch_norm: bool) -> None:
    torch.manual_seed(0)
    network = build_mlp(MlpConfig(12, 4, (7, 5), activation, dropout=0.3, batch_norm=batch_norm))
    for norm in (layer for layer in network if isinstance(layer, nn.BatchNorm1d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(tensor)  # type: ignore[arg-type]  # a running mean is there
        nn.init.uniform_(norm.running_var, 0.5, 2.0)  # type: ignore[arg-type]  # likewise
    samples = torch.randn(6, 3, 2, 2)
    weights = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    x = samples.double().numpy().reshape(6, 12)
    for i in (1, 2):
        x = x @ weights[f"linear{i}.weight"].T
        if batch_norm:
            mean, variance = weights[f"norm{i}.running_mean"], weights[f"norm{i}.running_var"]
            x = (x - mean) / np.sqrt(variance + 1e-5) * weights[f"norm{i}.weight"] + weights[f"norm{i}.bias"]
        else:
            x = x + weights[f"linear{i}.bias"]
        x = FUNCTIONS[activation](x)
    expected = x @ weights["output.weight"].T + weights["output.bias"]
    with torch.no_grad():
        np.testing.assert_allclose(network.eval()(samples), expected, rtol=1e-4, atol=1e-5)
