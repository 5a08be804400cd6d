"""The objective of training against its formula in float64."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from dlnotes_cli.data.batches import TrainingBatch
from dlnotes_cli.training.objective import BatchPart, Objective, balanced_weights, penalized_weights

Array = NDArray[np.float64]


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_objective_and_loss_agree_with_their_formulas(smoothing: float, l1: float, *, weighted: bool) -> None:
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=(9, 4)), generator.integers(0, 4, 9)
    weights = np.array([0.5, 1.0, 2.0, 4.0]) if weighted else np.ones(4)
    network = nn.Linear(2, 2)
    objective = Objective(
        network, label_smoothing=smoothing, l1=l1,
        class_weights=torch.tensor(weights, dtype=torch.float32) if weighted else None,
    )  # fmt: skip
    log_probabilities = log_softmax(logits)
    penalty = l1 * network.weight.abs().sum().item()

    def expected(labels: NDArray[np.int64]) -> tuple[float, float]:
        targets = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
        loss = -log_probabilities[np.arange(9), labels].mean()
        return -(targets * weights * log_probabilities).sum() / weights[labels].sum(), loss

    x, y = torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)
    both = zip(expected(labels), expected(np.roll(labels, 1)), strict=True)
    mixed = tuple(0.7 * a + 0.3 * b for a, b in both)
    batches = ((TrainingBatch(x, y), expected(labels)), (TrainingBatch(x, y, y.roll(1), 0.7), mixed))
    for batch, (value, loss) in batches:
        found = objective(x, BatchPart(batch, batch))
        assert found.objective.item() == pytest.approx(value + penalty, rel=1e-5)
        assert found.loss_sum.item() == pytest.approx(9 * loss, rel=1e-5)
        assert found.correct.item() == (logits.argmax(1) == labels).sum()


def test_balanced_weights_agree_with_scikit_learn() -> None:
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced_weights(torch.from_numpy(labels), 3).tolist() == pytest.approx(expected.tolist())


def test_only_trained_weight_matrices_are_penalized() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2), nn.Linear(2, 2))
    network[3].requires_grad_(False)
    assert [tuple(weight.shape) for weight in penalized_weights(network)] == [(3, 4), (2, 3)]
