"""Defaults that belong together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.training.recipes import (
    BEST_MLP,
    BEST_MLP_ON_TABLES,
    MLP_LENGTH,
    NOTES_MLP,
    filled,
    with_length,
    with_recipe,
)

RECIPES = pytest.mark.parametrize("recipe", [NOTES_MLP, BEST_MLP, BEST_MLP_ON_TABLES])
BY_RECIPE = ("optimizer", "lr", "momentum", "schedule", "weight_decay", "l1", "label_smoothing", "augment",
             "dropout", "batch_norm", "normalize", "val_split")  # fmt: skip


@RECIPES
def test_a_recipe_fills_in_all_that_is_open(recipe: dict[str, object]) -> None:
    config = with_length(with_recipe(TrainMlpConfig(), recipe), 1000, MLP_LENGTH)
    assert {name: getattr(config, name) for name in BY_RECIPE} == {name: recipe[name] for name in BY_RECIPE}
    assert config.batch_size is not None
    assert config.epochs is not None


def test_the_courses_recipe_is_the_courses() -> None:
    config = with_length(with_recipe(TrainMlpConfig(), NOTES_MLP), 48_000, MLP_LENGTH)
    assert (config.epochs, config.batch_size, config.optimizer, config.lr) == (50, 20, "sgd", 0.01)
    assert (config.dropout, config.val_split, config.normalize, config.momentum) == (0.2, 0.2, "unit", 0.0)


@RECIPES
def test_what_was_given_stays(recipe: dict[str, object]) -> None:
    given_config = TrainMlpConfig(lr=0.5, dropout=0.0, batch_norm=False, epochs=2, batch_size=7, augment="flip")
    config = with_length(with_recipe(given_config, recipe), 50_000, MLP_LENGTH)
    assert (config.lr, config.dropout, config.batch_norm) == (0.5, 0.0, False)
    assert (config.epochs, config.batch_size, config.augment) == (2, 7, "flip")


@RECIPES
def test_another_optimizer_brings_its_own_learning_rate(recipe: dict[str, object]) -> None:
    assert with_recipe(TrainMlpConfig(optimizer="sgd"), recipe).lr == (0.01 if recipe is NOTES_MLP else 0.1)
    assert with_recipe(TrainMlpConfig(optimizer="adam"), recipe).lr == 3e-3
    assert with_recipe(TrainMlpConfig(optimizer="adam"), recipe).weight_decay == 1e-4  # not adamw's 0.05
    assert with_recipe(TrainMlpConfig(optimizer="adam", lr=0.2), recipe).lr == 0.2


def test_what_ends_the_run_by_itself_leaves_the_epochs_open() -> None:
    for config in (TrainMlpConfig(time_budget=5.0), TrainMlpConfig(max_steps=10)):
        assert with_length(with_recipe(config, BEST_MLP), 1000, MLP_LENGTH).epochs is None


@given(samples=st.integers(1, 10**6), batch_size=st.one_of(st.none(), st.integers(1, 10**6)))
def test_the_length_is_always_in_range(samples: int, batch_size: int | None) -> None:
    config = with_length(TrainMlpConfig(batch_size=batch_size), samples, MLP_LENGTH)
    assert config.batch_size == (batch_size or (64 if samples < 10_000 else 256))
    assert config.epochs is not None
    assert 1 <= config.epochs <= 1000


def test_false_and_zero_count_as_given() -> None:
    config = filled(TrainMlpConfig(batch_norm=False, dropout=0.0), {"batch_norm": True, "dropout": 0.5, "l1": 1.0})
    assert (config.batch_norm, config.dropout, config.l1) == (False, 0.0, 1.0)
