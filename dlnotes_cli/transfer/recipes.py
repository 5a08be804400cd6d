"""Recipes of `transfer`: `best` for a frozen backbone and for fine-tuning, and `notes`, the course's."""

from dataclasses import dataclass

from dlnotes_cli.training.recipes import ClassifierRecipe, LengthDefaults


@dataclass(frozen=True, kw_only=True)
class FineTuneRecipe(ClassifierRecipe):
    """Settings for the gradient training of a pretrained network."""

    backbone: str


@dataclass(frozen=True, kw_only=True)
class FrozenRecipe:
    """Settings for the head of a frozen backbone; L-BFGS needs no learning rate."""

    backbone: str
    epochs: int  # passes over the features, at most, for each weight decay
    weight_decay: float | None = None  # None: several are tried, and validation chooses one
    label_smoothing: float
    augment: str  # of the views after the first, which is not augmented
    val_split: float


FROZEN = FrozenRecipe(backbone="resnet18", epochs=100, label_smoothing=0.0, augment="standard", val_split=0.2)
FINE_TUNE = FineTuneRecipe(
    backbone="resnet18", optimizer="adamw", lr=1e-3, momentum=0.9, schedule="one-cycle", weight_decay=0.05, l1=0.0,
    label_smoothing=0.1, augment="standard", val_split=0.2, ema=0.0,
    length=LengthDefaults(epochs=8, batch_size=32, min_steps=100),
)  # fmt: skip
# The course's flowers notebook.
NOTES = FineTuneRecipe(
    backbone="vgg16", optimizer="sgd", lr=1e-3, momentum=0.0, schedule="constant", weight_decay=0.0, l1=0.0,
    label_smoothing=0.0, augment="none", val_split=0.2, ema=0.0,
    length=LengthDefaults(epochs=2, batch_size=20, is_fixed=True),
)  # fmt: skip
