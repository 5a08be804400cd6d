"""Recipes of `char-rnn train`: which values a run has."""

import pytest

from dlnotes_cli.char_rnn.options import CharRnnTrainConfig
from dlnotes_cli.char_rnn.recipes import BEST, BEST_LONG, NOTES, char_rnn_recipe, long_run_defaults
from dlnotes_cli.training.recipes import run_length, with_recipe


def test_without_options_the_recipe_are_the_recipe() -> None:
    assert char_rnn_recipe(CharRnnTrainConfig()) == BEST
    assert char_rnn_recipe(CharRnnTrainConfig(recipe="notes")) == NOTES


def test_the_notes_recipe_has_the_values_of_the_course() -> None:
    assert (NOTES.optimizer, NOTES.lr, NOTES.schedule, NOTES.grad_clip) == ("adam", 0.001, "constant", 5.0)
    assert (NOTES.hidden, NOTES.layers, NOTES.embed, NOTES.dropout) == (512, 2, 0, 0.5)
    assert (NOTES.seq_len, NOTES.batch_size) == (100, 128)
    options = CharRnnTrainConfig(recipe="notes")
    assert run_length(options, NOTES.length, 1_000_000).epochs == 20


def test_options_replace_the_recipe_also_by_zero() -> None:
    recipe = char_rnn_recipe(CharRnnTrainConfig(dropout=0.0, embed=0, grad_clip=0.0, hidden=7))
    assert (recipe.dropout, recipe.embed, recipe.grad_clip, recipe.hidden) == (0.0, 0, 0.0, 7)
    assert recipe.layers == BEST.layers


@pytest.mark.parametrize(("optimizer", "lr", "decay"), [("adam", 3e-3, 1e-4), ("rmsprop", 1e-3, 0.0)])
def test_another_optimizer_has_its_own_learning_rate_and_weight_decay(optimizer: str, lr: float, decay: float) -> None:
    recipe = char_rnn_recipe(CharRnnTrainConfig(optimizer=optimizer))  # type: ignore[arg-type]
    assert (recipe.optimizer, recipe.lr, recipe.weight_decay) == (optimizer, lr, decay)
    assert char_rnn_recipe(CharRnnTrainConfig(optimizer=optimizer, lr=0.2)).lr == 0.2  # type: ignore[arg-type]
    assert char_rnn_recipe(CharRnnTrainConfig(optimizer="adamw")).lr == BEST.lr
    assert char_rnn_recipe(CharRnnTrainConfig(recipe="notes", optimizer="adamw")).weight_decay == 0.05


def test_a_long_time_budget_changes_the_defaults_of_the_best_recipe() -> None:
    assert char_rnn_recipe(CharRnnTrainConfig(time_budget=600.0)) == BEST_LONG
    assert char_rnn_recipe(CharRnnTrainConfig(time_budget=599.0)) == BEST
    assert char_rnn_recipe(CharRnnTrainConfig(time_budget=600.0, recipe="notes")) == NOTES
    assert long_run_defaults(CharRnnTrainConfig(time_budget=600.0)) == {"hidden": 512, "dropout": 0.3}
    assert long_run_defaults(CharRnnTrainConfig(time_budget=600.0, hidden=64)) == {"dropout": 0.3}
    assert long_run_defaults(CharRnnTrainConfig(time_budget=600.0, recipe="notes")) == {}


def test_stored_options_have_every_setting() -> None:
    options = CharRnnTrainConfig(hidden=32)
    config = with_recipe(options, char_rnn_recipe(options))
    assert (config.hidden, config.lr, config.schedule, config.reset_state) == (32, 6e-3, "one-cycle", 0.02)
    assert config.epochs is None  # depends on the text
    assert char_rnn_recipe(config) == char_rnn_recipe(options)
