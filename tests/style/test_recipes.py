"""The recipes of style transfer, and the options that replace their values."""

from typing import Any

import pytest

from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.style.recipes import BEST, BEST_SMALL, BEST_SQUEEZENET, NOTES, style_recipe


def test_the_recipe_depends_on_the_backbone() -> None:
    assert style_recipe(StyleTransferConfig()) == BEST_SMALL
    assert style_recipe(StyleTransferConfig(backbone="vgg19")) == BEST
    assert style_recipe(StyleTransferConfig(backbone="squeezenet1_1")) == BEST_SQUEEZENET
    assert (BEST_SMALL.tv, BEST.tv) == (0.05, 0.1)
    assert (BEST_SMALL.ratio, BEST.ratio, BEST_SQUEEZENET.ratio) == (0.03, 0.03, 0.1)


@pytest.mark.parametrize("backbone", ["small", "vgg19"])
def test_the_recipe_of_the_course_is_that_of_its_notebook(backbone: Any) -> None:
    recipe = style_recipe(StyleTransferConfig(recipe="notes", backbone=backbone))
    assert (recipe.optimizer, recipe.lr, recipe.steps, recipe.scales) == ("adam", 0.003, 2000, 1)
    assert (recipe.ratio, recipe.tv) == (1e-6, 0.0)
    assert recipe.pooling == ("avg" if backbone == "small" else "max")  # small was trained with average pooling


@pytest.mark.parametrize("recipe", ["best", "notes"])
def test_options_replace_the_values_of_a_recipe(recipe: Any) -> None:
    values: dict[str, Any] = {
        "optimizer": "adam", "lr": 0.5, "steps": 7, "scales": 2, "ratio": 0.1, "tv": 0.0, "pooling": "max",
    }  # fmt: skip
    assert vars(style_recipe(StyleTransferConfig(recipe=recipe, **values))) == values


def test_another_optimizer_has_its_own_learning_rate() -> None:
    assert style_recipe(StyleTransferConfig(optimizer="adam")).lr == 0.02
    assert style_recipe(StyleTransferConfig(recipe="notes", optimizer="lbfgs")).lr == 1.0
    assert style_recipe(StyleTransferConfig(recipe="notes", optimizer="adam")).lr == NOTES.lr
    assert style_recipe(StyleTransferConfig(optimizer="adam", lr=0.7)).lr == 0.7
