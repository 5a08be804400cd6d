"""Recipes: values for the options that are not set."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.char_rnn.options import CharRnnTrainConfig
from dlnotes_cli.classify.options import TrainCnnConfig, TrainMlpConfig
from dlnotes_cli.classify.recipes import (
    CNN_BEST,
    CNN_LARGE,
    MLP_BEST,
    MLP_BEST_ON_SMALL_TABLES,
    MLP_BEST_ON_TABLES,
    MLP_NOTES,
    MlpRecipe,
    with_arch,
)
from dlnotes_cli.data.load import TrainingSize
from dlnotes_cli.shell.option import Config, options_of, value_text
from dlnotes_cli.training.options import run_length
from dlnotes_cli.training.recipes import LengthDefaults, resolve
from dlnotes_cli.transfer.options import TransferConfig

RECIPES = pytest.mark.parametrize("recipe", [MLP_NOTES, MLP_BEST, MLP_BEST_ON_TABLES, MLP_BEST_ON_SMALL_TABLES])


def test_the_architecture_of_a_cnn_depends_on_the_images() -> None:
    few, many = (TrainingSize((3, 32, 32), 10, count) for count in (9_999, 10_000))
    chosen = [TrainCnnConfig().resolved(images) for images in (few, many)]
    assert chosen == [with_arch(CNN_BEST, "fast"), with_arch(CNN_LARGE, "large")]
    assert TrainCnnConfig(recipe="notes").resolved(many).arch == "notes-cnn"  # type: ignore[attr-defined]
    assert TrainCnnConfig(arch="fast").resolved(many) == with_arch(CNN_BEST, "fast")
    assert TrainCnnConfig(width=0.7, early_size=0.5).resolved(many).early_size == 0.5  # type: ignore[attr-defined]
    assert TrainCnnConfig(time_budget=120, batch_norm=False).resolved(many).optimizer == "adamw"


@RECIPES
def test_another_optimizer_has_its_own_learning_rate_and_weight_decay(recipe: MlpRecipe) -> None:
    assert resolve(TrainMlpConfig(optimizer="sgd"), recipe).lr == (0.01 if recipe is MLP_NOTES else 0.1)
    assert resolve(TrainMlpConfig(optimizer="adam"), recipe).lr == 3e-3
    assert resolve(TrainMlpConfig(optimizer="adam"), recipe).weight_decay == 1e-4  # not adamw's 0.05
    assert resolve(TrainMlpConfig(optimizer="adam", lr=0.2), recipe).lr == 0.2


def test_the_epochs_of_the_recipe_do_not_limit_a_time_budget_or_a_number_of_steps() -> None:
    for options in (TrainMlpConfig(time_budget=5.0), TrainMlpConfig(max_steps=10)):
        assert run_length(options, MLP_BEST.length, 1000).epochs is None
        assert run_length(options, MLP_NOTES.length, 1000).epochs == 50
    assert run_length(TrainMlpConfig(max_steps=10, epochs=3), MLP_BEST.length, 1000).epochs == 3


@given(samples=st.integers(1, 10**6), batch_size=st.one_of(st.none(), st.integers(1, 10**6)))
def test_epochs_and_batch_size_are_in_range(samples: int, batch_size: int | None) -> None:
    rule = LengthDefaults(epochs=60, batch_size=256, min_steps=1200, small_batch_size=64)
    length = run_length(TrainMlpConfig(batch_size=batch_size), rule, samples)
    assert length.batch_size == (batch_size or (64 if samples < 10_000 else 256))
    assert length.epochs is not None
    assert 60 <= length.epochs <= 300
    if length.epochs < 300:
        assert (length.epochs + 1) * max(1, samples // length.batch_size) > 1200


CSV = "a,label\n" + "0,x\n1,y\n" * 3
RUNS: list[tuple[type[Config], dict[str, dict[str, Any]]]] = [  # by the conditions that the help shows
    (
        TrainMlpConfig,
        {
            "": {},
            "tables": {"data": "table.csv", "target": "label"},
            "tables below 1,000 lines, tables": {"data": "small.csv", "target": "label"},
            "notes": {"recipe": "notes"},
        },
    ),
    (
        TrainCnnConfig,
        {
            "": {},
            "--time-budget 10m or more": {"time_budget": 600.0},
            "without batch norm": {"batch_norm": False},
            "--arch notes-cnn, without batch norm": {"arch": "notes-cnn"},
            "notes, --arch notes-cnn": {"recipe": "notes"},
        },
    ),
    (TransferConfig, {"": {}, "--fine-tune": {"fine_tune": "all"}, "notes": {"recipe": "notes"}}),
    (CharRnnTrainConfig, {"": {}, "--time-budget 10m or more": {"time_budget": 600.0}, "notes": {"recipe": "notes"}}),
]


@pytest.mark.parametrize(("config_type", "runs"), RUNS, ids=[config_type.command for config_type, _ in RUNS])
def test_the_help_shows_the_defaults_that_a_run_resolves(
    config_type: Any, runs: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text(CSV * 200)
    Path("small.csv").write_text(CSV)
    compared = set()
    for condition, options in runs.items():
        resolved: Any = config_type(**options).resolved()
        for name in {field.name for field in fields(resolved)} & options_of(config_type).keys() - options.keys():
            value = getattr(resolved, name)
            if value is None:  # validation chooses it
                continue
            first, *others = config_type.shown_default(name).split("; ")
            texts = dict(text.split(": ", 1) for text in others)
            expected = next((texts[part] for part in condition.split(", ") if part in texts), first)
            assert expected == value_text(value), (name, condition)
            compared.add(name)
    assert len(compared) >= 13


@pytest.mark.parametrize("config_type", [TrainMlpConfig, TrainCnnConfig, TransferConfig, CharRnnTrainConfig])
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "adamw", "rmsprop", "adagrad", "adadelta"])
def test_no_optimizer_brings_a_weight_decay_to_the_notes(config_type: Any, optimizer: Any) -> None:
    recipe = config_type(recipe="notes", optimizer=optimizer).resolved()
    assert (recipe.optimizer, recipe.weight_decay) == (optimizer, 0.0)
    assert config_type(recipe="notes", optimizer=optimizer, weight_decay=0.1).resolved().weight_decay == 0.1
