"""Recipes: values for the options that are not set."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.classify.recipes import MLP_BEST, MLP_BEST_ON_TABLES, MLP_NOTES, MlpRecipe
from dlnotes_cli.training.recipes import LengthDefaults, resolve, with_recipe

RECIPES = pytest.mark.parametrize("recipe", [MLP_NOTES, MLP_BEST, MLP_BEST_ON_TABLES])


@RECIPES
def test_options_that_are_not_set_get_the_values_of_the_recipe(recipe: MlpRecipe) -> None:
    assert resolve(TrainMlpConfig(), recipe) == recipe
    options = with_recipe(TrainMlpConfig(), recipe)
    for field in fields(recipe):
        if field.name != "length":
            assert getattr(options, field.name) == getattr(recipe, field.name), field.name


@RECIPES
def test_options_that_are_set_replace_the_values_of_the_recipe(recipe: MlpRecipe) -> None:
    options = TrainMlpConfig(lr=0.5, dropout=0.0, batch_norm=False, augment="flip")
    resolved = resolve(options, recipe)
    assert (resolved.lr, resolved.dropout, resolved.batch_norm, resolved.augment) == (0.5, 0.0, False, "flip")
    assert resolved.weight_decay == recipe.weight_decay


def test_false_and_zero_count_as_set() -> None:
    recipe = replace(MLP_BEST, batch_norm=True, dropout=0.5, l1=1.0)
    resolved = resolve(TrainMlpConfig(batch_norm=False, dropout=0.0), recipe)
    assert (resolved.batch_norm, resolved.dropout, resolved.l1) == (False, 0.0, 1.0)


@RECIPES
def test_another_optimizer_has_its_own_learning_rate_and_weight_decay(recipe: MlpRecipe) -> None:
    assert resolve(TrainMlpConfig(optimizer="sgd"), recipe).lr == (0.01 if recipe is MLP_NOTES else 0.1)
    assert resolve(TrainMlpConfig(optimizer="adam"), recipe).lr == 3e-3
    assert resolve(TrainMlpConfig(optimizer="adam"), recipe).weight_decay == 1e-4  # not adamw's 0.05
    assert resolve(TrainMlpConfig(optimizer="adam", lr=0.2), recipe).lr == 0.2


def test_the_recipe_notes_has_the_values_of_the_course() -> None:
    length = TrainMlpConfig().run_length(MLP_NOTES.length, 48_000)
    assert (length.epochs, length.batch_size, MLP_NOTES.optimizer, MLP_NOTES.lr) == (50, 20, "sgd", 0.01)
    assert (MLP_NOTES.dropout, MLP_NOTES.val_split, MLP_NOTES.normalize, MLP_NOTES.momentum) == (0.2, 0.2, "unit", 0.0)


def test_the_epochs_of_the_recipe_do_not_limit_a_time_budget_or_a_number_of_steps() -> None:
    for options in (TrainMlpConfig(time_budget=5.0), TrainMlpConfig(max_steps=10)):
        assert options.run_length(MLP_BEST.length, 1000).epochs is None
        assert options.run_length(MLP_NOTES.length, 1000).epochs == 50
    assert TrainMlpConfig(max_steps=10, epochs=3).run_length(MLP_BEST.length, 1000).epochs == 3


@given(samples=st.integers(1, 10**6), batch_size=st.one_of(st.none(), st.integers(1, 10**6)))
def test_epochs_and_batch_size_are_in_range(samples: int, batch_size: int | None) -> None:
    rule = LengthDefaults(epochs=60, batch_size=256, min_steps=1200, small_batch_size=64)
    length = TrainMlpConfig(batch_size=batch_size).run_length(rule, samples)
    assert length.batch_size == (batch_size or (64 if samples < 10_000 else 256))
    assert length.epochs is not None
    assert 60 <= length.epochs <= 300
    if length.epochs < 300:
        assert (length.epochs + 1) * max(1, samples // length.batch_size) > 1200
