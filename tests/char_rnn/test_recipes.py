"""Recipes of `char-rnn train`: which values a run has."""

import pytest

from dlnotes_cli.char_rnn.options import BEST, BEST_LONG, NOTES, CharRnnTrainConfig
from dlnotes_cli.training.recipes import with_recipe


def test_without_options_the_recipe_are_the_recipe() -> None:
    assert CharRnnTrainConfig().resolved() == BEST
    assert CharRnnTrainConfig(recipe="notes").resolved() == NOTES


def test_the_notes_recipe_has_the_values_of_the_course() -> None:
    assert (NOTES.optimizer, NOTES.lr, NOTES.schedule, NOTES.grad_clip) == ("adam", 0.001, "constant", 5.0)
    assert (NOTES.hidden, NOTES.layers, NOTES.embed, NOTES.dropout, NOTES.residual) == (512, 2, 0, 0.5, False)
    length = CharRnnTrainConfig(recipe="notes").run_length(NOTES.length, 1_000_000)
    assert (NOTES.seq_len, length.batch_size, length.epochs) == (100, 128, 20)


def test_options_replace_the_recipe_also_by_zero() -> None:
    recipe = CharRnnTrainConfig(dropout=0.0, embed=0, grad_clip=0.0, hidden=7).resolved()
    assert (recipe.dropout, recipe.embed, recipe.grad_clip, recipe.hidden) == (0.0, 0, 0.0, 7)
    assert recipe.layers == BEST.layers


@pytest.mark.parametrize(("optimizer", "lr", "decay"), [("adam", 3e-3, 1e-4), ("rmsprop", 1e-3, 0.0)])
def test_another_optimizer_has_its_own_learning_rate_and_weight_decay(optimizer: str, lr: float, decay: float) -> None:
    recipe = CharRnnTrainConfig(optimizer=optimizer).resolved()  # type: ignore[arg-type]
    assert (recipe.optimizer, recipe.lr, recipe.weight_decay) == (optimizer, lr, decay)
    assert CharRnnTrainConfig(optimizer=optimizer, lr=0.2).resolved().lr == 0.2  # type: ignore[arg-type]
    assert CharRnnTrainConfig(optimizer="adamw").resolved().lr == BEST.lr
    assert CharRnnTrainConfig(recipe="notes", optimizer="adamw").resolved().weight_decay == 0.0


def test_a_long_time_budget_changes_the_defaults_of_the_best_recipe() -> None:
    assert CharRnnTrainConfig(time_budget=600.0).resolved() == BEST_LONG
    assert CharRnnTrainConfig(time_budget=599.0).resolved() == BEST
    assert CharRnnTrainConfig(time_budget=600.0, recipe="notes").resolved() == NOTES
    changed = {"--hidden-size": 384, "--dropout": 0.3, "--weight-decay": 0.1, "--seq-len": 64, "--batch-size": 16}
    assert CharRnnTrainConfig(time_budget=600.0).long_run_defaults() == changed
    del changed["--hidden-size"]
    assert CharRnnTrainConfig(time_budget=600.0, hidden=64).long_run_defaults() == changed
    assert CharRnnTrainConfig(time_budget=600.0, recipe="notes").long_run_defaults() == {}


def test_stored_options_have_every_setting() -> None:
    options = CharRnnTrainConfig(hidden=32)
    config = with_recipe(options, options.resolved())
    assert (config.hidden, config.lr, config.schedule, config.reset_state) == (32, 6e-3, "one-cycle", 0.02)
    assert config.epochs is None  # depends on the text
    assert config.resolved() == options.resolved()
