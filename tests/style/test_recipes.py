"""The recipes of style transfer, and the options that replace their values."""

from typing import Any

import pytest

from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.style.recipes import BEST, BEST_SMALL, LEARNING_RATES, NOTES, resolve


def test_the_recipe_depends_on_the_backbone() -> None:
    assert resolve(StyleTransferConfig()) == BEST_SMALL
    assert resolve(StyleTransferConfig(backbone="vgg19")) == BEST
    assert (BEST_SMALL.tv, BEST.tv) == (0.3, 0.1)


@pytest.mark.parametrize("backbone", ["small", "vgg19"])
def test_the_recipe_of_the_course_is_that_of_its_notebook(backbone: Any) -> None:
    recipe = resolve(StyleTransferConfig(recipe="notes", backbone=backbone))
    assert recipe == NOTES
    assert (recipe.optimizer, recipe.lr, recipe.steps, recipe.scales) == ("adam", 0.003, 2000, 1)
    assert (recipe.ratio, recipe.tv, recipe.pooling) == (1e-6, 0.0, "max")


@pytest.mark.parametrize("recipe", ["best", "notes"])
def test_options_replace_the_values_of_a_recipe(recipe: Any) -> None:
    values: dict[str, Any] = {
        "optimizer": "adam", "lr": 0.5, "steps": 7, "scales": 2, "ratio": 0.1, "tv": 0.0, "pooling": "max",
    }  # fmt: skip
    assert vars(resolve(StyleTransferConfig(recipe=recipe, **values))) == values


def test_another_optimizer_has_its_own_learning_rate() -> None:
    assert resolve(StyleTransferConfig(optimizer="adam")).lr == LEARNING_RATES["adam"] == 0.02
    assert resolve(StyleTransferConfig(recipe="notes", optimizer="lbfgs")).lr == LEARNING_RATES["lbfgs"] == 1.0
    assert resolve(StyleTransferConfig(recipe="notes", optimizer="adam")).lr == NOTES.lr
    assert resolve(StyleTransferConfig(optimizer="adam", lr=0.7)).lr == 0.7
