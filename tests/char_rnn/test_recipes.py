"""Recipes of `char-rnn train`: which values a run has."""

import pytest

from dlnotes_cli.char_rnn.options import CharRnnTrainConfig
from dlnotes_cli.char_rnn.recipes import BEST, BEST_LONG, NOTES, long_run_defaults, resolve, with_settings


def test_without_options_the_settings_are_the_recipe() -> None:
    assert resolve(CharRnnTrainConfig()) == BEST
    assert resolve(CharRnnTrainConfig(recipe="notes")) == NOTES


def test_the_notes_recipe_has_the_values_of_the_course() -> None:
    assert (NOTES.optimizer, NOTES.lr, NOTES.schedule, NOTES.grad_clip) == ("adam", 0.001, "constant", 5.0)
    assert (NOTES.hidden, NOTES.layers, NOTES.embed, NOTES.dropout) == (512, 2, 0, 0.5)
    assert (NOTES.seq_len, NOTES.batch_size) == (100, 128)
    options = CharRnnTrainConfig(recipe="notes")
    assert with_settings(options, resolve(options)).epochs == 20


def test_options_replace_the_recipe_also_by_zero() -> None:
    settings = resolve(CharRnnTrainConfig(dropout=0.0, embed=0, grad_clip=0.0, hidden=7))
    assert (settings.dropout, settings.embed, settings.grad_clip, settings.hidden) == (0.0, 0, 0.0, 7)
    assert settings.layers == BEST.layers


@pytest.mark.parametrize(("optimizer", "lr", "decay"), [("adam", 3e-3, 1e-4), ("rmsprop", 1e-3, 0.0)])
def test_another_optimizer_has_its_own_learning_rate_and_weight_decay(optimizer: str, lr: float, decay: float) -> None:
    settings = resolve(CharRnnTrainConfig(optimizer=optimizer))  # type: ignore[arg-type]
    assert (settings.optimizer, settings.lr, settings.weight_decay) == (optimizer, lr, decay)
    assert resolve(CharRnnTrainConfig(optimizer=optimizer, lr=0.2)).lr == 0.2  # type: ignore[arg-type]
    assert resolve(CharRnnTrainConfig(optimizer="adamw")).lr == BEST.lr
    assert resolve(CharRnnTrainConfig(recipe="notes", optimizer="adamw")).weight_decay == 0.05


def test_a_long_time_budget_changes_the_defaults_of_the_best_recipe() -> None:
    assert resolve(CharRnnTrainConfig(time_budget=600.0)) == BEST_LONG
    assert resolve(CharRnnTrainConfig(time_budget=599.0)) == BEST
    assert resolve(CharRnnTrainConfig(time_budget=600.0, recipe="notes")) == NOTES
    assert long_run_defaults(CharRnnTrainConfig(time_budget=600.0)) == {"hidden": 512, "dropout": 0.3}
    assert long_run_defaults(CharRnnTrainConfig(time_budget=600.0, hidden=64)) == {"dropout": 0.3}
    assert long_run_defaults(CharRnnTrainConfig(time_budget=600.0, recipe="notes")) == {}


def test_stored_options_have_every_setting() -> None:
    options = CharRnnTrainConfig(hidden=32)
    config = with_settings(options, resolve(options))
    assert (config.hidden, config.lr, config.schedule, config.reset_state) == (32, 6e-3, "one-cycle", 0.02)
    assert config.epochs is None  # depends on the text
    assert resolve(config) == resolve(options)
