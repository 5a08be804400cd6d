"""Learning-rate schedules, and the step budget that ends them."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.training.results import RunProgress
from dlnotes_cli.training.schedule import Schedule, StepBudget

NAMES = ["one-cycle", "cosine", "step", "constant"]
schedules = st.builds(Schedule, st.sampled_from(NAMES), st.integers(1, 50))


@given(schedules, st.integers(1, 400), st.integers(1, 400))
def test_before_its_turning_point_a_schedule_does_not_depend_on_the_total(
    schedule: Schedule, one: int, two: int
) -> None:
    turning_point = min(schedule.turning_point(one), schedule.turning_point(two), schedule.warmup)
    for step in range(turning_point):
        assert schedule.factor(step, one) == schedule.factor(step, two) == schedule.factor(step, None)


def test_cosine_agrees_with_pytorch_after_the_warm_up() -> None:
    schedule = Schedule("cosine", 10)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90)
    for step in range(10, 100):
        assert schedule.factor(step, 100) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        reference.step()


def test_one_cycle_is_a_trapezoid() -> None:
    schedule = Schedule("one-cycle", 4)
    factors = [schedule.factor(step, 16) for step in range(16)]
    assert factors[:8] == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert factors[8:] == [1 - k / 8 for k in range(8)]


def test_step_decays_to_a_tenth_and_a_hundredth() -> None:
    factors = [Schedule("step", 4).factor(step, 100) for step in (0, 49, 50, 74, 75, 99)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def budget_of(
    schedule: Schedule, limit: int | None, seconds: float | None, *, has_early_steps: bool = False, **progress: Any
) -> StepBudget:
    return StepBudget(schedule, limit, seconds, has_early_steps, RunProgress(**progress))


def advance(budget: StepBudget, step_s: float) -> None:
    budget.progress.step += 1
    budget.progress.elapsed_s += step_s
    budget.observe(0.0)


@given(schedules, st.floats(0.5, 20), st.one_of(st.none(), st.integers(1, 300)))
def test_a_time_budget_is_met_and_its_number_of_steps_repeats_the_learning_rates(
    schedule: Schedule, budget_s: float, limit: int | None
) -> None:
    budget = budget_of(schedule, limit, budget_s)
    factors: list[float] = []
    while not budget.is_reached:
        factors.append(budget.lr_factor(len(factors)))
        advance(budget, 0.05)
    assert len(factors) == budget.progress.total
    assert len(factors) * 0.05 <= budget_s * 1.05 + 0.05
    assert factors == [schedule.factor(step, len(factors)) for step in range(len(factors))]
    if limit is None and budget_s > 5:
        assert len(factors) * 0.05 > budget_s * 0.9


def test_a_run_that_slows_down_ends_soon_after_its_time_budget() -> None:
    budget = budget_of(Schedule("one-cycle", 4), None, 10.0)
    progress = budget.progress
    while not budget.is_reached:
        advance(budget, 0.1 if progress.elapsed_s < 5 else 0.3)
    assert math.isclose(progress.elapsed_s, 10.5, abs_tol=0.4)
    assert progress.step < (progress.total or 0)


@given(schedules, st.integers(1, 300), st.integers(1, 600), st.integers(1, 300))
def test_a_run_whose_length_is_changed_has_continuous_learning_rates(
    schedule: Schedule, old: int, new: int, step: int
) -> None:
    step = min(step, old)
    budget = budget_of(schedule, new, None)
    budget.resume(RunProgress(step=step, total=old), limits=None)
    before, after = schedule.factor(step - 1, old), [budget.lr_factor(i) for i in range(step, new)]
    if budget.progress.decay_start is None:  # no step done depends on the length: as if it had always been the new one
        assert [schedule.factor(i, old) for i in range(step)] == [schedule.factor(i, new) for i in range(step)]
        assert after == [schedule.factor(i, new) for i in range(step, new)]
    elif after:
        assert after[0] == before == budget.lr_factor(step - 1)
        assert after == sorted(after, reverse=True)
        if schedule.name in {"one-cycle", "cosine"}:
            assert budget.lr_factor(new) == pytest.approx(0, abs=1e-12)


def test_steps_before_the_decay_may_cost_less() -> None:
    budget = budget_of(Schedule("one-cycle", 10), None, 1000.0, has_early_steps=True, elapsed_s=7.0)
    progress = budget.progress
    while progress.total is None:  # early steps take a second, others four
        is_early = budget.is_early
        assert is_early == (progress.step >= 20)
        advance(budget, 1.0 if is_early else 4.0)
        progress.elapsed_s += 9.0 if progress.step == 5 else 0.0  # a validation
        budget.observe(0.0)
    assert progress.total == 2 * progress.step
    early = math.ceil(0.6 * progress.total)
    assert 16 + 4 * 20 + (early - 20) + 4 * (progress.total - early) == pytest.approx(950, abs=5)
    steps = (19, 20, early - 1, early, progress.total)
    repeated = [budget_of(Schedule("one-cycle", 10), progress.total, None, step=step) for step in steps]
    assert [each.is_early for each in repeated] == [False, True, True, False, False]
    assert not budget_of(Schedule("cosine", 10), 100, None, step=20).is_early
