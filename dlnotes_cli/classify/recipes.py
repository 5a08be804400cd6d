"""Recipes of `train-mlp` and `train-cnn`: `best`, the most accurate that we know, and `notes`, the course's."""

from dataclasses import dataclass, replace

from dlnotes_cli.data.options import Normalization
from dlnotes_cli.networks.cnn_architectures import ARCHITECTURES, SCORE_SCALE
from dlnotes_cli.training.recipes import ClassifierRecipe, LengthDefaults


@dataclass(frozen=True, kw_only=True)
class ScratchRecipe(ClassifierRecipe):
    """Settings for training from scratch, which include the normalization of the samples."""

    normalize: Normalization


@dataclass(frozen=True, kw_only=True)
class MlpRecipe(ScratchRecipe):
    """Settings of `train-mlp`."""

    hidden: tuple[int, ...]
    dropout: float
    batch_norm: bool


@dataclass(frozen=True, kw_only=True)
class CnnRecipe(ScratchRecipe):
    """Settings of `train-cnn --arch`."""

    arch: str
    width: float
    dropout: float
    batch_norm: bool
    early_size: float  # of the side of the images in the first steps


# The course's notebooks (MNIST MLP with validation): plain SGD, constant learning rate, pixels from 0 to 1.
MLP_NOTES = MlpRecipe(
    optimizer="sgd", lr=0.01, momentum=0.0, schedule="constant", weight_decay=0.0, l1=0.0, label_smoothing=0.0,
    augment="none", hidden=(512, 512), dropout=0.2, batch_norm=False, normalize="unit", val_split=0.2, ema=0.0,
    length=LengthDefaults(epochs=50, batch_size=20, is_fixed=True),
)  # fmt: skip
MLP_BEST = MlpRecipe(
    optimizer="adamw", lr=3e-3, momentum=0.9, schedule="one-cycle", weight_decay=0.05, l1=0.0, label_smoothing=0.1,
    augment="standard", hidden=(512, 512), dropout=0.0, batch_norm=True, normalize="standard", val_split=0.1, ema=0.0,
    length=LengthDefaults(epochs=60, batch_size=256, min_steps=1200, small_batch_size=64),
)  # fmt: skip
# benchmarks/tables.py compares the two recipes for tables with scikit-learn.
MLP_BEST_ON_TABLES = replace(
    MLP_BEST, hidden=(256, 256), dropout=0.2, batch_norm=False, weight_decay=0.1, augment="none"
)
MLP_BEST_ON_SMALL_TABLES = replace(MLP_BEST_ON_TABLES, hidden=(128,), weight_decay=1.0)
SMALL_TABLE_LINES = 1000
# The course's CIFAR-10 notebook with augmentation.
CNN_NOTES = ScratchRecipe(
    optimizer="sgd", lr=0.01, momentum=0.0, schedule="constant", weight_decay=0.0, l1=0.0, label_smoothing=0.0,
    augment="notes", normalize="symmetric", val_split=0.2, ema=0.0,
    length=LengthDefaults(epochs=30, batch_size=20, is_fixed=True),
)  # fmt: skip
CNN_BEST = ScratchRecipe(
    optimizer="adamw", lr=6e-3, momentum=0.9, schedule="one-cycle", weight_decay=0.05, l1=0.0, label_smoothing=0.1,
    augment="standard", normalize="standard", val_split=0.1, ema=0.995,
    length=LengthDefaults(epochs=30, batch_size=128, min_steps=600, small_batch_size=64),
)  # fmt: skip
CNN_BEST_WITHOUT_BATCH_NORM = replace(CNN_BEST, lr=1e-3)  # deep networks diverge at higher learning rates


# Jordan 2024 (arXiv:2404.00498), whose rates are for a sum over 1,024 samples: here they are for a mean over 512 and
# the same decay of weights in a step.
CNN_LARGE = ScratchRecipe(
    optimizer="muon", lr=0.75, momentum=0.85, schedule="one-cycle", weight_decay=1.3e-3, l1=0.0,
    label_smoothing=0.2, augment="light", normalize="standard", val_split=0.1, ema=0.0,
    length=LengthDefaults(epochs=10, batch_size=512, min_steps=600),
)  # fmt: skip
FILTER_LR = 0.16  # factor on the learning rate of filters with muon
NORM_BIAS_LR = 64.0  # factor on the learning rate of the biases of batch norm, which have no scale
SCORE_LR = SCORE_SCALE**2  # of the output layer, whose weights are smaller by this factor


def with_arch(recipe: ScratchRecipe, arch: str) -> CnnRecipe:
    """A recipe with the defaults of an architecture."""
    defaults = ARCHITECTURES[arch]
    return CnnRecipe(
        **vars(recipe), arch=arch, width=1.0, dropout=defaults.dropout, batch_norm=defaults.batch_norm, early_size=1.0
    )
