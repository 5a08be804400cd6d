"""Settings of style transfer that belong together: the best known recipe, and the one of the course's notebook."""

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from dlnotes_cli.style.options import StyleTransferConfig

StyleOptimizer = Literal["lbfgs", "adam"]
Pooling = Literal["avg", "max"]
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class StyleRecipe:
    """How an image is stylized; every value is set."""

    optimizer: StyleOptimizer
    lr: float
    steps: int  # at most, at each scale
    scales: int  # of the image pyramid
    ratio: float  # content weight / style weight
    tv: float  # weight of the total variation
    pooling: Pooling


BEST = StyleRecipe(optimizer="lbfgs", lr=1.0, steps=100, scales=3, ratio=0.03, tv=0.1, pooling="avg")
BEST_SMALL = replace(BEST, tv=0.3)  # the few layers of the small network leave a woven texture, which this smooths
NOTES = StyleRecipe(optimizer="adam", lr=0.003, steps=2000, scales=1, ratio=1e-6, tv=0.0, pooling="max")
LEARNING_RATES: dict[StyleOptimizer, float] = {"lbfgs": 1.0, "adam": 0.02}  # of an optimizer that is not the recipe's


def resolve(config: StyleTransferConfig) -> StyleRecipe:
    """The recipe that `--recipe` and `--backbone` select, with the options that the user set in place of its values.

    An optimizer other than the recipe's comes with its own learning rate.
    """
    recipe = _selected(config)
    optimizer = _set_or(config.optimizer, recipe.optimizer)
    rate = recipe.lr if optimizer == recipe.optimizer else LEARNING_RATES[optimizer]
    return StyleRecipe(
        optimizer=optimizer,
        lr=_set_or(config.lr, rate),
        steps=_set_or(config.steps, recipe.steps),
        scales=_set_or(config.scales, recipe.scales),
        ratio=_set_or(config.ratio, recipe.ratio),
        tv=_set_or(config.tv, recipe.tv),
        pooling=_set_or(config.pooling, recipe.pooling),
    )


def _selected(config: StyleTransferConfig) -> StyleRecipe:
    if config.recipe == "notes":
        return NOTES
    return BEST_SMALL if config.backbone == "small" else BEST


def _set_or(value: Value | None, default: Value) -> Value:
    """An option's value, or the default where it is not set; 0 counts as set."""
    return default if value is None else value
