"""Heads for fixed features against scikit-learn's logistic regression."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dlnotes_cli.training.head_fit import WEIGHT_DECAYS, HeadOptions, fit_heads


def clusters(classes: int, count: int, features: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features and labels of overlapping Gaussian clusters, with features of very different scales."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centers = generator.normal(size=(classes, features))
    x = (centers[labels] + generator.normal(size=(count, features)) * 1.5) * 10.0 ** generator.integers(-2, 3, features)
    return torch.tensor(x + 5, dtype=torch.float32), torch.tensor(labels)


def last_head(x: Tensor, y: Tensor, options: HeadOptions, *decays: float) -> torch.nn.Sequential:
    *_, fit = fit_heads(x, y, options, decays)
    return fit.head


@settings(max_examples=15)
@given(
    classes=st.integers(2, 5), features=st.integers(1, 12), seed=st.integers(0, 99),
    decay=st.sampled_from(WEIGHT_DECAYS[:8]), balanced=st.booleans(),
)  # fmt: skip
def test_a_linear_head_agrees_with_scikit_learn_s_logistic_regression(
    classes: int, features: int, seed: int, decay: float, balanced: bool
) -> None:
    x, y = clusters(classes, 90, features, seed)
    y[:20] = 0  # classes of different size
    head = last_head(x, y, HeadOptions(classes, is_balanced=balanced, passes=500), decay)
    standard = ((x - x.mean(0)) / x.std(0, correction=0)).double().numpy()
    weight = "balanced" if balanced else None
    factor = (
        2 if classes == 2 else 1
    )  # scikit-learn has one weight vector for two classes, we have two of half its size
    oracle = LogisticRegression(C=factor / (len(x) * decay), tol=1e-8, max_iter=10_000, class_weight=weight)
    expected = oracle.fit(standard, y.numpy()).predict_proba(standard)
    np.testing.assert_allclose(head(x).detach().softmax(1).numpy()[:, oracle.classes_], expected, atol=2e-3)


def test_a_linear_head_that_starts_from_the_one_before_reaches_the_same_optimum() -> None:
    x, y = clusters(3, 60, 5, 0)
    fits = list(fit_heads(x, y, HeadOptions(3), (1.0, 0.1)))
    assert [fit.weight_decay for fit in fits] == [1.0, 0.1]
    alone = last_head(x, y, HeadOptions(3, passes=500), 0.1)
    torch.testing.assert_close(fits[1].head(x), alone(x), atol=1e-2, rtol=1e-2)
    assert not torch.equal(fits[0].head(x), fits[1].head(x))


def test_a_head_with_a_hidden_layer_learns_xor() -> None:
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(5, 1)
    labels = torch.tensor([0, 1, 1, 0]).repeat(5)
    linear = last_head(corners, labels, HeadOptions(2), *WEIGHT_DECAYS[4:8])
    hidden = last_head(corners, labels, HeadOptions(2, hidden=(16,)), *WEIGHT_DECAYS[4:8])
    assert (linear(corners).argmax(1) == labels).float().mean() <= 0.75
    assert (hidden(corners).argmax(1) == labels).all()


def test_constant_features_keep_the_head_finite() -> None:
    x, y = clusters(2, 40, 4, 1)
    x[:, 2] = 7.0
    x = torch.cat([x, torch.zeros(40, 1)], 1)
    logits = last_head(x, y, HeadOptions(2), 0.01)(x)
    assert torch.isfinite(logits).all()
    assert (logits.argmax(1) == y).float().mean() > 0.7
    assert torch.isfinite(
        last_head(torch.ones(6, 3), torch.tensor([0, 1] * 3), HeadOptions(2), 0.1)(torch.ones(6, 3))
    ).all()


def test_total_passes_end_a_fit_with_the_best_weights_of_its_passes() -> None:
    x, y = clusters(3, 60, 5, 0)
    fits = list(fit_heads(x, y, HeadOptions(3, total_passes=7), (1.0, 0.1, 0.01)))
    assert sum(fit.passes for fit in fits) == 7
    assert all(fit.passes <= 5 for fit in fit_heads(x, y, HeadOptions(3, passes=3), WEIGHT_DECAYS))
    again = list(fit_heads(x, y, HeadOptions(3, total_passes=7), (1.0, 0.1, 0.01)))
    assert all(torch.equal(one.head(x), other.head(x)) for one, other in zip(fits, again, strict=True))


def test_a_fit_can_be_stopped_in_any_pass() -> None:
    x, y = clusters(3, 60, 5, 0)
    calls = 0

    def poll() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        list(fit_heads(x, y, HeadOptions(3), (1.0,), poll))
