"""The multi-layer perceptron: its parameters, its forward pass, its initialization."""

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.models.choices import Activation, parse_init
from dlnotes_cli.models.initialization import initialize
from dlnotes_cli.models.mlp import MlpConfig, bf16_pays, build_mlp
from dlnotes_cli.models.registry import count_parameters

Floats = NDArray[np.float64]


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (MlpConfig(784, 10, (512, 512), dropout=0.2), 669_706),
        (MlpConfig(784, 10, (512, 256)), 535_818),
        (MlpConfig(784, 10, (512, 256), batch_norm=True), 536_586),
        (MlpConfig(784, 10, (256, 128), dropout=0.2), 235_146),
        (MlpConfig(784, 10, (256,), activation="sigmoid"), 203_530),
        (MlpConfig(784, 10, (128, 64)), 109_386),
        (MlpConfig(784, 10, (256, 128, 64)), 242_762),
        (MlpConfig(784, 10, (512, 256, 128)), 567_434),
        (MlpConfig(784, 10, (400, 200, 100)), 415_310),
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


def test_there_is_a_formula_for_every_activation() -> None:
    assert set(FUNCTIONS) == set(get_args(Activation))


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


def test_layers_have_the_documented_order_and_names() -> None:
    network = build_mlp(MlpConfig(4, 2, (3, 3), dropout=0.5, batch_norm=True))
    names = [f"{kind}{i}" for i in (1, 2) for kind in ("linear", "norm", "activation", "dropout")]
    assert [name for name, _ in network.named_children()] == ["flatten", *names, "output"]
    plain = build_mlp(MlpConfig(4, 2, (3,)))
    assert [name for name, _ in plain.named_children()] == ["flatten", "linear1", "activation1", "output"]


def test_dropout_is_active_only_in_training() -> None:
    network = build_mlp(MlpConfig(4, 2, (2000,), dropout=0.25))
    hidden: list[torch.Tensor] = []
    network.get_submodule("dropout1").register_forward_hook(lambda *args: hidden.append(args[2]))
    initialize(network, parse_init("ones"))
    x = torch.ones(1, 4)
    network.train()(x)
    network.eval()(x)
    assert abs(float((hidden[0] == 0).float().mean()) - 0.25) < 0.05
    assert hidden[0].unique().tolist() == pytest.approx([0, 4 / 0.75])
    assert (hidden[1] == 4).all()


def test_bf16_pays_for_wide_layers_and_large_batches() -> None:
    wide, narrow, none = (MlpConfig(784, 10, hidden) for hidden in ((64, 256), (255,), ()))
    assert bf16_pays(wide, 128)
    assert not bf16_pays(wide, 127)
    assert not bf16_pays(narrow, 1024)
    assert not bf16_pays(none, 1024)
