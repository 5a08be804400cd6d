"""Recipes of `char-rnn train`: which values a run has."""

from dlnotes_cli.char_rnn.options import BEST, BEST_LONG, NOTES, CharRnnTrainConfig


def test_the_notes_recipe_has_the_values_of_the_course() -> None:
    assert (NOTES.optimizer, NOTES.lr, NOTES.schedule, NOTES.grad_clip) == ("adam", 0.001, "constant", 5.0)
    assert (NOTES.hidden, NOTES.layers, NOTES.embed, NOTES.dropout, NOTES.residual) == (512, 2, 0, 0.5, False)
    length = CharRnnTrainConfig(recipe="notes").run_length(NOTES.length, 1_000_000)
    assert (NOTES.seq_len, length.batch_size, length.epochs) == (100, 128, 20)


def test_a_long_time_budget_changes_the_defaults_of_the_best_recipe() -> None:
    assert CharRnnTrainConfig(time_budget=600.0).resolved() == BEST_LONG
    assert CharRnnTrainConfig(time_budget=599.0).resolved() == BEST
    assert CharRnnTrainConfig(time_budget=600.0, recipe="notes").resolved() == NOTES
    changed = {"--hidden-size": 384, "--dropout": 0.3, "--weight-decay": 0.1, "--seq-len": 64, "--batch-size": 16}
    assert CharRnnTrainConfig(time_budget=600.0).long_run_defaults() == changed
    del changed["--hidden-size"]
    assert CharRnnTrainConfig(time_budget=600.0, hidden=64).long_run_defaults() == changed
    assert CharRnnTrainConfig(time_budget=600.0, recipe="notes").long_run_defaults() == {}
