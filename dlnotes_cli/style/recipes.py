"""Settings of style transfer that belong together: the best known recipe, and the one of the course's notebook."""

from dataclasses import dataclass, replace
from typing import Literal

from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.training.recipes import resolve

StyleOptimizer = Literal["lbfgs", "adam"]
Pooling = Literal["avg", "max"]


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


BEST = StyleRecipe(optimizer="lbfgs", lr=1.0, steps=90, scales=3, ratio=0.03, tv=0.1, pooling="avg")
BEST_SMALL = replace(BEST, tv=0.05)
BEST_SQUEEZENET = replace(BEST, ratio=0.1)  # at 0.03, objects dissolve
NOTES = StyleRecipe(optimizer="adam", lr=0.003, steps=2000, scales=1, ratio=1e-6, tv=0.0, pooling="max")
NOTES_SMALL = replace(NOTES, pooling="avg")  # with which it was trained
_BEST = {"small": BEST_SMALL, "squeezenet1_0": BEST_SQUEEZENET, "squeezenet1_1": BEST_SQUEEZENET}
_OPTIMIZER_DEFAULTS = {"lbfgs": {"lr": 1.0}, "adam": {"lr": 0.02}}  # of an optimizer other than the recipe's


def style_recipe(config: StyleTransferConfig) -> StyleRecipe:
    """The recipe that `--recipe` and `--backbone` select, with the options that are set."""
    best = _BEST.get(config.backbone, BEST)
    notes = NOTES_SMALL if config.backbone == "small" else NOTES
    return resolve(config, notes if config.recipe == "notes" else best, _OPTIMIZER_DEFAULTS)
