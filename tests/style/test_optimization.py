"""The optimization of an image: it converges, keeps the best image, stops early, and resumes exactly."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from dlnotes_cli.shell.codec import build, to_json
from dlnotes_cli.shell.errors import UnfinishedError
from dlnotes_cli.style.objective import Losses
from dlnotes_cli.style.optimization import ImageOptimization, LossValues
from dlnotes_cli.style.options import BEST, StyleOptimizer, StyleRecipe
from dlnotes_cli.style.results import FinishedScale, ScaleResult

SHAPE = (1, 3, 6, 5)
BOUNDS = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
OPTIMIZERS = pytest.mark.parametrize("optimizer", get_args(StyleOptimizer))


def recipe(optimizer: StyleOptimizer, lr: float, steps: int) -> StyleRecipe:
    return replace(BEST, optimizer=optimizer, lr=lr, steps=steps)


def loss_to(target: Tensor) -> Callable[[Tensor], Losses]:
    """A loss whose minimum is `target`."""

    def loss(image: Tensor) -> Losses:
        total = (image - target).square().sum() / target.square().sum()
        return Losses(total, total, total, total)

    return loss


def optimized(loss: Callable[[Tensor], Losses], initial: Tensor, *values: Any, **options: Any) -> ImageOptimization:
    optimization = ImageOptimization(loss, initial, recipe(*values), **{"bounds": BOUNDS, **options})
    for _ in optimization.run():
        pass
    return optimization


@OPTIMIZERS
def test_the_target_is_found_within_the_bounds(optimizer: StyleOptimizer) -> None:
    target = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) * 1.5 - 0.2  # some values are out of bounds
    values = torch.full(SHAPE, 0.5), optimizer, 1.0 if optimizer == "lbfgs" else 0.05, 300
    bounded = optimized(loss_to(target), *values)
    torch.testing.assert_close(bounded.best, target.clamp(0, 1), atol=0.02, rtol=0)
    unbounded = optimized(loss_to(target), *values, bounds=None)
    torch.testing.assert_close(unbounded.best, target, atol=0.02, rtol=0)


def test_the_best_image_is_kept_and_its_loss_reported_after_each_step() -> None:
    loss, fast = loss_to(torch.rand(SHAPE)), recipe("adam", 0.9, 25)  # much too fast: the loss rises and falls
    optimization = ImageOptimization(loss, torch.rand(SHAPE), fast, bounds=BOUNDS)
    reported = [(step, optimization.lowest) for step in optimization.run()]
    assert [step for step, _ in reported] == list(range(1, 26))
    totals = [values.total for values in optimization.losses]
    assert len(totals) == 26  # before the first step, and after each
    assert [lowest for _, lowest in reported] == np.minimum.accumulate(totals[:-1]).tolist()
    assert float(loss(optimization.best).total) == pytest.approx(min(totals))


def test_a_run_stops_when_the_loss_no_longer_falls_and_at_the_deadline_after_a_step() -> None:
    target = torch.rand(SHAPE)
    assert 20 <= len(optimized(loss_to(target), target, "lbfgs", 1.0, 500, stops_early=True).losses) < 40
    assert len(optimized(loss_to(target), torch.rand(SHAPE), "adam", 0.01, 500, deadline=0.0).losses) == 2


def test_lbfgs_restarts_from_the_best_image_when_a_step_diverges() -> None:
    target, evaluations = torch.rand(SHAPE), 0

    def unreliable(image: Tensor) -> Losses:
        nonlocal evaluations
        evaluations += 1
        return loss_to(target)(image * (math.nan if evaluations % 7 == 0 else 1.0))

    optimization = optimized(unreliable, torch.rand(SHAPE), "lbfgs", 1.0, 40)
    assert len(optimization.losses) == 41
    torch.testing.assert_close(optimization.best, target, atol=0.05, rtol=0)


@OPTIMIZERS
@pytest.mark.parametrize("steps", [0, 2, 30])
def test_a_resumed_run_equals_an_uninterrupted_one(optimizer: StyleOptimizer, steps: int) -> None:
    loss, initial = loss_to(torch.rand(SHAPE)), torch.rand(SHAPE)
    whole, interrupted, resumed = (
        ImageOptimization(loss, start, recipe(optimizer, 0.3, 40), bounds=BOUNDS)
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
    optimization = optimized(loss_to(torch.full(SHAPE, 0.75)), torch.full(SHAPE, 0.5), "adam", 0.1, 1)
    torch.testing.assert_close(optimization.best, torch.full(SHAPE, 0.6))


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    message = r"--lr: the loss is not finite at step 1 \(--lr 0.1\); use a lower --lr"
    with pytest.raises(UnfinishedError, match=message):
        optimized(loss_to(torch.full(SHAPE, math.nan)), torch.rand(SHAPE), "adam", 0.1, 9)


def test_a_loss_with_a_tiny_gradient_falls_where_the_gradient_is_scaled() -> None:
    target, initial = torch.rand((1, 3, 60, 60)) * 1e-4 + 0.5, torch.full((1, 3, 60, 60), 0.5)
    lowest, scaled = (
        optimized(loss_to(target), initial, "lbfgs", 1.0, 15, gradient_scale=scale).lowest for scale in (1.0, 1e6)
    )
    assert scaled < lowest / 100


def test_a_scale_reports_its_losses_and_survives_a_checkpoint() -> None:
    rows = [(math.nan, 1.0, 2.0, 3.0), (5.0, 0.0, math.inf, 3.0), (4.0, 0.5, 3.5, 3.0), (4.0, 0.6, 3.4, 3.0)]
    scale = FinishedScale((32, 48), 3, 1.235, [LossValues(*row) for row in rows])
    reported = {
        "size": [32, 48], "steps": 3, "seconds": 1.235,
        "losses": {
            "first": {"total": None, "content": 1.0, "style": 2.0, "variation": 3.0},
            "last": {"total": 4.0, "content": 0.6, "style": 3.4, "variation": 3.0},
            "best": {"total": 4.0, "content": 0.5, "style": 3.5, "variation": 3.0},  # the first with the lowest total
        },
    }  # fmt: skip
    curves = {
        "total": [None, 5.0, 4.0, 4.0], "content": [1.0, 0.0, 0.5, 0.6], "style": [2.0, None, 3.5, 3.4],
        "variation": [3.0] * 4,
    }  # fmt: skip
    stored = json.loads(json.dumps(to_json(scale), allow_nan=False))
    for one in (scale, build(FinishedScale, stored)):
        assert to_json(ScaleResult.of(one, has_curves=False)) == reported
        assert to_json(ScaleResult.of(one, has_curves=True)) == reported | {"curves": curves}
