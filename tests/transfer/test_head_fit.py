"""Heads on fixed features: the solution is that of an independent solver."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dlnotes_cli.transfer.head_fit import WEIGHT_DECAYS, HeadOptions, fit_path


def clouds(classes: int, count: int, features: int, seed: int) -> tuple[Tensor, Tensor]:
    """Overlapping clouds of points with features of very different scales."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centers = generator.normal(size=(classes, features))
    x = (centers[labels] + generator.normal(size=(count, features)) * 1.5) * 10.0 ** generator.integers(-2, 3, features)
    return torch.tensor(x + 5, dtype=torch.float32), torch.tensor(labels)


def solve(x: Tensor, y: Tensor, options: HeadOptions, *decays: float) -> torch.nn.Sequential:
    *_, fit = fit_path(x, y, options, decays)
    return fit.head


@settings(max_examples=15)
@given(
    classes=st.integers(2, 5), features=st.integers(1, 12), seed=st.integers(0, 99),
    decay=st.sampled_from(WEIGHT_DECAYS[:8]), balanced=st.booleans(),
)  # fmt: skip
def test_without_hidden_layers_it_is_scikit_learn_s_logistic_regression(
    classes: int, features: int, seed: int, decay: float, balanced: bool
) -> None:
    x, y = clouds(classes, 90, features, seed)
    y[:20] = 0  # classes of different size
    head = solve(x, y, HeadOptions(classes, is_balanced=balanced, passes=500), decay)
    standard = ((x - x.mean(0)) / x.std(0, correction=0)).double().numpy()
    weight = "balanced" if balanced else None
    halves = 2 if classes == 2 else 1  # of two classes it has one vector, we have two of half the length
    oracle = LogisticRegression(C=halves / (len(x) * decay), tol=1e-8, max_iter=10_000, class_weight=weight)
    expected = oracle.fit(standard, y.numpy()).predict_proba(standard)
    np.testing.assert_allclose(head(x).detach().softmax(1).numpy()[:, oracle.classes_], expected, atol=2e-3)


def test_each_fit_goes_on_from_the_one_before() -> None:
    x, y = clouds(3, 60, 5, 0)
    fits = list(fit_path(x, y, HeadOptions(3), (1.0, 0.1)))
    assert [fit.weight_decay for fit in fits] == [1.0, 0.1]
    alone = solve(x, y, HeadOptions(3, passes=500), 0.1)
    torch.testing.assert_close(fits[1].head(x), alone(x), atol=1e-2, rtol=1e-2)
    assert not torch.equal(fits[0].head(x), fits[1].head(x))


def test_a_hidden_layer_solves_what_no_line_can() -> None:
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(5, 1)
    labels = torch.tensor([0, 1, 1, 0]).repeat(5)
    straight = solve(corners, labels, HeadOptions(2), *WEIGHT_DECAYS)
    bent = solve(corners, labels, HeadOptions(2, hidden=(16,)), *WEIGHT_DECAYS)
    assert (straight(corners).argmax(1) == labels).float().mean() <= 0.75
    assert (bent(corners).argmax(1) == labels).all()


def test_features_that_never_vary_do_no_harm() -> None:
    x, y = clouds(2, 40, 4, 1)
    x[:, 2] = 7.0
    x = torch.cat([x, torch.zeros(40, 1)], 1)
    logits = solve(x, y, HeadOptions(2), 0.01)(x)
    assert torch.isfinite(logits).all()
    assert (logits.argmax(1) == y).float().mean() > 0.7
    assert torch.isfinite(
        solve(torch.ones(6, 3), torch.tensor([0, 1] * 3), HeadOptions(2), 0.1)(torch.ones(6, 3))
    ).all()


def test_the_passes_are_limited_and_the_seed_decides() -> None:
    x, y = clouds(3, 60, 5, 0)
    assert all(fit.passes <= 5 for fit in fit_path(x, y, HeadOptions(3, passes=3), WEIGHT_DECAYS))
    one, same, other = (solve(x, y, HeadOptions(3, hidden=(4,), seed=seed), 0.1) for seed in (0, 0, 1))
    assert torch.equal(one(x), same(x))
    assert not torch.equal(one(x), other(x))


def test_it_can_be_stopped_in_any_pass() -> None:
    x, y = clouds(3, 60, 5, 0)
    calls = 0

    def poll() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        list(fit_path(x, y, HeadOptions(3), (1.0,), poll))
