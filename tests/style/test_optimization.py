"""The optimization of an image: it converges, keeps the best image, stops early, and resumes exactly."""

import json
import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from dlnotes_cli.shell.errors import UnfinishedError
from dlnotes_cli.style.losses import Features, Losses, LossWeights, StyleTransferLoss, style_grams
from dlnotes_cli.style.optimization import ImageOptimization, OptimizationSettings
from dlnotes_cli.style.recipes import StyleOptimizer

SHAPE = (1, 3, 6, 5)
BOUNDS = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
OPTIMIZERS = pytest.mark.parametrize("optimizer", get_args(StyleOptimizer))


def identity(image: Tensor) -> Features:
    return {"content": image, "a": image}


def objective(network: Callable[[Tensor], Features], loss: StyleTransferLoss) -> Callable[[Tensor], Losses]:
    return lambda image: loss(network(image), image)


def loss_to(image: Tensor, style_weight: float = 0.0) -> StyleTransferLoss:
    """A loss whose minimum is `image`."""
    grams = style_grams({"a": image}, {"a": 1.0}, "relative")
    return StyleTransferLoss("content", image, grams, LossWeights(1.0, style_weight, 0.0, {"a": 1.0}), "relative")


def optimized(
    target: Tensor,
    initial: Tensor,
    settings: OptimizationSettings,
    *,
    bounds: tuple[Tensor, Tensor] | None = BOUNDS,
    network: Callable[[Tensor], Features] = identity,
) -> ImageOptimization:
    optimization = ImageOptimization(objective(network, loss_to(target)), initial, bounds, settings)
    for _ in optimization.run():
        pass
    return optimization


@OPTIMIZERS
def test_the_target_is_found_within_the_bounds(optimizer: StyleOptimizer) -> None:
    target = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) * 1.5 - 0.2  # some values are out of bounds
    settings = OptimizationSettings(optimizer, 1.0 if optimizer == "lbfgs" else 0.05, 300, stops_early=False)
    bounded = optimized(target, torch.full(SHAPE, 0.5), settings)
    torch.testing.assert_close(bounded.best, target.clamp(0, 1), atol=0.02, rtol=0)
    unbounded = optimized(target, torch.full(SHAPE, 0.5), settings, bounds=None)
    torch.testing.assert_close(unbounded.best, target, atol=0.02, rtol=0)


def test_the_best_image_is_kept_and_its_loss_reported_after_each_step() -> None:
    target = torch.rand(SHAPE)
    settings = OptimizationSettings("adam", 0.9, 25, stops_early=False)  # much too fast: the loss rises and falls
    optimization = ImageOptimization(objective(identity, loss_to(target)), torch.rand(SHAPE), BOUNDS, settings)
    reported = [(step, optimization.lowest) for step in optimization.run()]
    assert [step for step, _ in reported] == list(range(1, 26))
    totals = [values.total for values in optimization.losses]
    assert len(totals) == 26  # before the first step, and after each
    assert [lowest for _, lowest in reported] == np.minimum.accumulate(totals[:-1]).tolist()
    best = optimization.best
    assert float(loss_to(target)(identity(best), best).total) == pytest.approx(min(totals))


def test_a_run_stops_when_the_loss_no_longer_falls() -> None:
    target = torch.rand(SHAPE)
    optimization = optimized(target, target.clone(), OptimizationSettings("lbfgs", 1.0, 500))
    assert 20 <= len(optimization.losses) < 40


def test_a_run_stops_at_the_deadline_but_not_before_the_first_step() -> None:
    settings = OptimizationSettings("adam", 0.01, 500, deadline=0.0)
    assert len(optimized(torch.rand(SHAPE), torch.rand(SHAPE), settings).losses) == 2


def test_lbfgs_restarts_from_the_best_image_when_a_step_diverges() -> None:
    target, evaluations = torch.rand(SHAPE), 0

    def unreliable(image: Tensor) -> Features:
        nonlocal evaluations
        evaluations += 1
        factor = math.nan if evaluations % 7 == 0 else 1.0
        return {"content": image * factor, "a": image}

    settings = OptimizationSettings("lbfgs", 1.0, 40, stops_early=False)
    optimization = optimized(target, torch.rand(SHAPE), settings, network=unreliable)
    assert len(optimization.losses) == 41
    torch.testing.assert_close(optimization.best, target, atol=0.05, rtol=0)


@OPTIMIZERS
@pytest.mark.parametrize("steps", [0, 2, 30])
def test_a_resumed_run_equals_an_uninterrupted_one(optimizer: StyleOptimizer, steps: int) -> None:
    target, initial = torch.rand(SHAPE), torch.rand(SHAPE)
    settings = OptimizationSettings(optimizer, 0.3, 40, stops_early=False)
    whole, interrupted, resumed = (
        ImageOptimization(objective(identity, loss_to(target, 0.1)), start, BOUNDS, settings)
        for start in (initial, initial, torch.zeros(SHAPE))
    )
    for _ in whole.run():
        pass
    if steps:
        for step in interrupted.run():
            if step == steps:
                break
    tensors, metadata = interrupted.state()
    resumed.load_state({name: tensor.clone() for name, tensor in tensors.items()}, json.loads(json.dumps(metadata)))
    for _ in resumed.run():
        pass
    assert torch.equal(resumed.best, whole.best)
    assert resumed.losses == whole.losses


def test_the_result_of_the_last_step_is_evaluated() -> None:
    settings = OptimizationSettings("adam", 0.1, 1)
    optimization = optimized(torch.full(SHAPE, 0.75), torch.full(SHAPE, 0.5), settings)
    torch.testing.assert_close(optimization.best, torch.full(SHAPE, 0.6))


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    def broken(image: Tensor) -> Features:
        return {"content": image * math.nan, "a": image}

    message = r"--lr: the loss is not finite at step 1 \(--lr 0.1\); use a lower --lr"
    with pytest.raises(UnfinishedError, match=message):
        optimized(torch.rand(SHAPE), torch.rand(SHAPE), OptimizationSettings("adam", 0.1, 9), network=broken)


def test_a_loss_with_a_tiny_gradient_falls_where_the_gradient_is_scaled() -> None:
    target, shape = torch.rand((1, 3, 60, 60)) * 1e-4 + 0.5, (1, 3, 60, 60)

    lowest = []
    for scale in (1.0, 1e6):
        settings = OptimizationSettings("lbfgs", 1.0, 15, gradient_scale=scale)
        lowest.append(optimized(target, torch.full(shape, 0.5), settings).lowest)
    assert lowest[1] < lowest[0] / 100
