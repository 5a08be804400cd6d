"""Learning-rate schedules, and the step budget that ends them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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


def run_with_budget(
    schedule: Schedule, budget_s: float, step_s: float, limit: int | None = None
) -> tuple[StepBudget, list[float]]:
    """Simulate a run in which every step takes `step_s`; returns the budget at its end, and the factor of each step."""
    budget, factors, step = StepBudget(schedule, limit, budget_s), [], 0
    while not budget.is_reached(step, step * step_s):
        factors.append(schedule.factor(step, budget.total))
        step += 1
        budget.observe(step, step * step_s, 0.0)
    return budget, factors


@given(schedules, st.floats(0.5, 20), st.one_of(st.none(), st.integers(1, 300)))
def test_a_time_budget_is_met_and_its_number_of_steps_repeats_the_learning_rates(
    schedule: Schedule, budget_s: float, limit: int | None
) -> None:
    budget, factors = run_with_budget(schedule, budget_s, 0.05, limit)
    assert len(factors) == budget.total
    assert len(factors) * 0.05 <= budget_s * 1.05 + 0.05
    assert factors == [schedule.factor(step, len(factors)) for step in range(len(factors))]
    if limit is None and budget_s > 5:
        assert len(factors) * 0.05 > budget_s * 0.9


def test_a_run_that_slows_down_ends_soon_after_its_time_budget() -> None:
    budget, step, elapsed = StepBudget(Schedule("one-cycle", 4), None, 10.0), 0, 0.0
    while not budget.is_reached(step, elapsed):
        step += 1
        elapsed += 0.1 if elapsed < 5 else 0.3
        budget.observe(step, elapsed, 0.0)
    assert math.isclose(elapsed, 10.5, abs_tol=0.4)
    assert budget.total is not None
    assert step < budget.total


@given(schedules, st.integers(1, 300), st.integers(1, 600), st.integers(1, 300))
def test_a_run_whose_length_is_changed_has_continuous_learning_rates(
    schedule: Schedule, old: int, new: int, step: int
) -> None:
    step = min(step, old)
    budget = StepBudget(schedule, new, None)
    budget.resume(step, old, None, has_same_limits=False)
    before, after = schedule.factor(step - 1, old), [budget.lr_factor(i) for i in range(step, new)]
    if budget.decay_start is None:  # no step done depends on the length: as if it had been the new one all along
        assert [schedule.factor(i, old) for i in range(step)] == [schedule.factor(i, new) for i in range(step)]
        assert after == [schedule.factor(i, new) for i in range(step, new)]
    elif after:
        assert after[0] == before == budget.lr_factor(step - 1)
        assert after == sorted(after, reverse=True)
        if schedule.name in {"one-cycle", "cosine"}:
            assert budget.lr_factor(new) == pytest.approx(0, abs=1e-12)


def test_steps_before_the_decay_may_cost_less() -> None:
    budget = StepBudget(Schedule("one-cycle", 10), None, 1000.0, has_early_steps=True)
    step, elapsed_s = 0, 7.0  # the first steps are slow
    while budget.total is None:  # early steps take a second, others four
        is_early = budget.is_early(step)
        assert is_early == (step >= 20)
        step, elapsed_s = step + 1, elapsed_s + (1.0 if is_early else 4.0)
        for validation_s in (0.0, 9.0 if step == 5 else 0.0):
            elapsed_s += validation_s
            budget.observe(step, elapsed_s, 0.0)
    assert budget.total == 2 * step
    early = math.ceil(0.6 * budget.total)
    assert 16 + 4 * 20 + (early - 20) + 4 * (budget.total - early) == pytest.approx(950, abs=5)
    repeated = StepBudget(Schedule("one-cycle", 10), budget.total, None)
    steps = (19, 20, early - 1, early, 2 * step)
    assert [repeated.is_early(each) for each in steps] == [False, True, True, False, False]
    assert not StepBudget(Schedule("cosine", 10), 100, None).is_early(20)
