"""Optimizers and losses against arithmetic written out in float64."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from dlnotes_cli.data.images.mix import TrainingBatch
from dlnotes_cli.training.objective import Objective, balanced_weights, penalized
from dlnotes_cli.training.optimizers import OptimizerOptions, make_optimizer

Array = NDArray[np.float64]


def run_torch(name: str, gradients: Array, *, decay: float) -> Array:
    layer = nn.Linear(3, 2, bias=False)
    nn.init.constant_(layer.weight, 0.5)
    optimizer = make_optimizer(layer, OptimizerOptions(name, 0.1, 0.9, decay))  # type: ignore[arg-type]
    for gradient in gradients:
        layer.weight.grad = torch.tensor(gradient, dtype=torch.float32)
        optimizer.step()
    return layer.weight.detach().double().numpy()


def run_by_hand(name: str, gradients: Array, *, decay: float) -> Array:
    w = np.full((2, 3), 0.5)
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, gradient in enumerate(gradients, start=1):
        g = gradient if name == "adamw" else gradient + decay * w
        if name == "sgd":
            m = 0.9 * m + g
            w = w - 0.1 * m
            continue
        if name == "adamw":
            w = w * (1 - 0.1 * decay)
        b = 0.99 if name == "adamw" else 0.999
        m, v = 0.9 * m + 0.1 * g, b * v + (1 - b) * g * g
        w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - b**t)) + 1e-8)
    return w


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_optimizers_agree_with_their_formulas(name: str, decay: float) -> None:
    gradients = np.random.default_rng(0).normal(size=(7, 2, 3))
    assert run_torch(name, gradients, decay=decay) == pytest.approx(run_by_hand(name, gradients, decay=decay), abs=1e-5)


def test_only_weight_matrices_decay() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    assert [p.ndim for p in penalized(network)] == [2, 2]
    groups = make_optimizer(network, OptimizerOptions("adamw", 0.1, 0.9, 0.5)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_the_objective_and_the_reported_loss(smoothing: float, l1: float, *, weighted: bool) -> None:
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=(9, 4)), generator.integers(0, 4, 9)
    weights = np.array([0.5, 1.0, 2.0, 4.0]) if weighted else np.ones(4)
    network = nn.Linear(2, 2)
    objective = Objective(
        network, label_smoothing=smoothing, l1=l1,
        class_weights=torch.tensor(weights, dtype=torch.float32) if weighted else None,
    )  # fmt: skip
    logs = log_softmax(logits)
    penalty = l1 * network.weight.abs().sum().item()

    def expected(labels: NDArray[np.int64]) -> tuple[float, float]:
        targets = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
        return -(targets * weights * logs).sum() / weights[labels].sum(), -logs[np.arange(9), labels].mean()

    x, y = torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)
    found, plain = objective(x, TrainingBatch(x, y))
    assert found.item() == pytest.approx(expected(labels)[0] + penalty, rel=1e-5)
    assert plain.item() == pytest.approx(expected(labels)[1], rel=1e-5)
    found, plain = objective(x, TrainingBatch(x, y, y.roll(1), 0.7))
    both = zip(expected(labels), expected(np.roll(labels, 1)), strict=True)
    mean, plain_mean = (0.7 * a + 0.3 * b for a, b in both)
    assert found.item() == pytest.approx(mean + penalty, rel=1e-5)
    assert plain.item() == pytest.approx(plain_mean, rel=1e-5)


def test_balanced_weights_agree_with_scikit_learn() -> None:
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced_weights(torch.from_numpy(labels), 3).tolist() == pytest.approx(expected.tolist())


def test_parameters_may_have_learning_rates_of_their_own() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2), nn.Linear(2, 2))
    network[2].requires_grad_(False)
    factors = {"0.weight": 0.1, "0.bias": 0.1}
    groups = make_optimizer(network, OptimizerOptions("adamw", 0.1, 0.0, 0.5), factors).param_groups
    found = {(group["lr_factor"], group["weight_decay"]): [tuple(p.shape) for p in group["params"]] for group in groups}
    assert found == {(0.1, 0.5): [(3, 2)], (0.1, 0.0): [(3,)], (1.0, 0.5): [(2, 3)], (1.0, 0.0): [(2,)]}
