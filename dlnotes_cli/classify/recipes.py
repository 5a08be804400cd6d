"""Recipes of `train-mlp` and `train-cnn`: `best`, the most accurate that we know, and `notes`, the course's."""

from dataclasses import dataclass, replace

from dlnotes_cli.classify.options import TrainCnnConfig, TrainMlpConfig
from dlnotes_cli.data.load import kind_of
from dlnotes_cli.data.options import Normalization
from dlnotes_cli.models.cnn_architectures import ARCHITECTURES
from dlnotes_cli.training.recipes import ClassifierRecipe, LengthRule, has_long_budget, resolve

_LR_WITHOUT_BATCH_NORM = 1e-3  # deep networks without batch norm diverge at higher learning rates


@dataclass(frozen=True, kw_only=True)
class ScratchRecipe(ClassifierRecipe):
    """Settings for training from scratch, which include the normalization of the samples."""

    normalize: Normalization


@dataclass(frozen=True, kw_only=True)
class MlpRecipe(ScratchRecipe):
    """Settings of `train-mlp`."""

    dropout: float
    batch_norm: bool


@dataclass(frozen=True, kw_only=True)
class CnnRecipe(ScratchRecipe):
    """Settings of `train-cnn --arch`."""

    arch: str
    width: float
    dropout: float
    batch_norm: bool


# The course's notebooks (MNIST MLP with validation): plain SGD, constant learning rate, pixels from 0 to 1.
MLP_NOTES = MlpRecipe(
    optimizer="sgd", lr=0.01, momentum=0.0, schedule="constant", weight_decay=0.0, l1=0.0, label_smoothing=0.0,
    augment="none", dropout=0.2, batch_norm=False, normalize="unit", val_split=0.2, ema=0.0,
    length=LengthRule(epochs=50, batch_size=20, is_fixed=True),
)  # fmt: skip
MLP_BEST = MlpRecipe(
    optimizer="adamw", lr=3e-3, momentum=0.9, schedule="one-cycle", weight_decay=0.05, l1=0.0, label_smoothing=0.1,
    augment="standard", dropout=0.0, batch_norm=True, normalize="standard", val_split=0.1, ema=0.0,
    length=LengthRule(epochs=60, batch_size=256, min_steps=1200, small_batch_size=64),
)  # fmt: skip
MLP_BEST_ON_TABLES = replace(MLP_BEST, lr=1e-3, dropout=0.2, batch_norm=False, augment="none")
# The course's CIFAR-10 notebook with augmentation.
CNN_NOTES = ScratchRecipe(
    optimizer="sgd", lr=0.01, momentum=0.0, schedule="constant", weight_decay=0.0, l1=0.0, label_smoothing=0.0,
    augment="notes", normalize="symmetric", val_split=0.2, ema=0.0,
    length=LengthRule(epochs=30, batch_size=20, is_fixed=True),
)  # fmt: skip
CNN_BEST = ScratchRecipe(
    optimizer="adamw", lr=6e-3, momentum=0.9, schedule="one-cycle", weight_decay=0.05, l1=0.0, label_smoothing=0.1,
    augment="standard", normalize="standard", val_split=0.1, ema=0.995,
    length=LengthRule(epochs=30, batch_size=128, min_steps=600, small_batch_size=64),
)  # fmt: skip


def mlp_recipe(options: TrainMlpConfig) -> MlpRecipe:
    """The recipe that `--recipe` names, for images or for tables, in which options that are set replace values."""
    if options.recipe == "notes":
        return resolve(options, MLP_NOTES)
    return resolve(options, MLP_BEST_ON_TABLES if kind_of(options.data) == "table" else MLP_BEST)


def cnn_recipe(options: TrainCnnConfig) -> ScratchRecipe:
    """The recipe that `--recipe` names, in which options that are set replace values.

    It is a CnnRecipe, unless `--layers` describes the network.
    """
    recipe = CNN_NOTES if options.recipe == "notes" else CNN_BEST
    if options.layers is not None:
        has_batch_norm = "BatchNorm" in options.layers
    else:
        arch = options.arch or default_arch(options)
        defaults = ARCHITECTURES[arch]
        recipe = CnnRecipe(
            **vars(recipe), arch=arch, width=1.0, dropout=defaults.dropout, batch_norm=defaults.batch_norm
        )
        has_batch_norm = defaults.batch_norm if options.batch_norm is None else options.batch_norm
    if not has_batch_norm and options.recipe == "best":
        recipe = replace(recipe, lr=_LR_WITHOUT_BATCH_NORM)
    return resolve(options, recipe)


def default_arch(options: TrainCnnConfig) -> str:
    """The architecture of a run without `--arch`."""
    if options.recipe == "notes":
        return "notes-cnn"
    return "large" if has_long_budget(options.recipe, options.time_budget) else "fast"
