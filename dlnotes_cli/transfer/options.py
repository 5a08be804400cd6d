"""The options of `dlnotes transfer`, and its recipes: `best`, frozen or fine-tuned, and `notes`, the course's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from dlnotes_cli.data import options as data_options
from dlnotes_cli.networks.choices import BACKBONES
from dlnotes_cli.networks.embedded import EMBEDDED_NAME
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.option import option
from dlnotes_cli.shell.parse import integers
from dlnotes_cli.training import options as training
from dlnotes_cli.training.recipes import ClassifierRecipe, LengthDefaults, resolve


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
_TRAINED = ("fine_tune", "recipe=notes")  # with one of these the network is trained by gradients, step by step
_OF_STEPS = (  # options without effect on a frozen backbone, whose head is fitted by L-BFGS
    "dropout", "lr", "schedule", "optimizer", "momentum", "patience",
    "ema", "grad_clip", "batch_size", "l1", "accumulate", "monitor", "sampler", "devices", "compile",
)  # fmt: skip


def last_blocks(text: str) -> str:
    """Validate a value of `--fine-tune`: `all` or `last-N`.

    >>> last_blocks("last-2")
    'last-2'
    """
    if not re.fullmatch(r"all|last-[1-9]\d{0,5}", text.strip()):
        raise ValueError(f"'{text}' is neither all nor last-N, such as last-2")
    return text.strip()


@dataclass(frozen=True, kw_only=True)
class TransferConfig(training.ClassifierConfig, command="transfer"):
    """Every option of `transfer`; some that classifiers share have another default or meaning here, or none."""

    recipes: ClassVar[Mapping[str, object]] = {"": FROZEN, "--fine-tune": FINE_TUNE, "notes": NOTES}

    changes: ClassVar[Mapping[str, Mapping[str, Any]]] = {name: {"needs": _TRAINED} for name in _OF_STEPS}
    resizes_all: ClassVar[bool] = True  # also the images of named sets, for the backbone

    color: Literal["gray", "rgb"] | None = None  # always rgb
    normalize: data_options.Normalization | None = None  # as the weights require

    size: int | None = option(
        None,
        "Pixels per side of the backbone's input.",
        panel="Data",
        within="[1, 4096]",
        shown_default="set by --weights",
    )
    dropout: float | None = training.DROPOUT
    backbone: str | None = option(
        None,
        "Pretrained torchvision network (see --list), or small (part of dlnotes, no download).",
        panel="Model",
        metavar="NAME",
        complete=lambda: [EMBEDDED_NAME, *BACKBONES],
    )
    hidden: tuple[int, ...] = option(
        (), "Units of each hidden layer of the new head.", panel="Model", parse=integers, within="[1, 1e6]",
        metavar="N,N,…", shown_default="no hidden layer",
    )  # fmt: skip
    fine_tune: str | None = option(
        None, "Also train the last N blocks of the backbone (last-N; without a value last-3), or all blocks.",
        panel="Model", parse=last_blocks, implied="last-3", metavar="[last-N|all]",
        shown_default="none: the backbone is frozen, and --lr, --schedule and the like have no effect",
    )  # fmt: skip
    weights: str = training.WEIGHTS
    views: int = option(
        1,
        "Frozen backbone: train on N views of each image, all but the first augmented.",
        panel="Training",
        within="[1, 1000]",
        unused_with=_TRAINED,
    )
    folds: int | None = option(
        None, "Frozen backbone: choose the weight decay by N-fold cross-validation.", panel="Training",
        within="[2, 100]", conflicts=("time_budget", "max_steps"), unused_with=_TRAINED,
    )  # fmt: skip
    weight_decay: float | None = option(
        None, "Weight decay; of a frozen backbone λ in λ/2·‖w‖², for standardized features.", panel="Training",
        within="[0, 1e6]", shown_default="chosen by validation; --fine-tune: 0.05; notes: 0",
    )  # fmt: skip
    export_features: Path | None = option(
        None, "Frozen backbone: write features, labels and names to this .npz file.", panel="Output",
        metavar="FILE.npz", ends_in=".npz", unused_with=_TRAINED,
    )  # fmt: skip
    map_file: Path | None = common.png_option(
        "Frozen backbone: plot the features of all images, projected to two dimensions.",
        name="--map",
        unused_with=_TRAINED,
    )
    map_method: Literal["pca", "tsne"] = option("pca", "Projection of --map", panel="Output", needs=("map_file",))
    list_backbones: bool = option(
        False, "List the backbones with size and accuracy, and which weights are on this machine.",
        panel="Output", name="--list",
    )  # fmt: skip

    @property
    def is_frozen(self) -> bool:
        """Whether the backbone is frozen: its features are computed once; otherwise it runs in every step."""
        return self.fine_tune is None and self.recipe == "best"

    def resolved(self) -> FrozenRecipe | FineTuneRecipe:
        """The recipe of the run, in which options that are set replace values."""
        if self.is_frozen:
            return resolve(self, FROZEN)
        return resolve(self, NOTES if self.recipe == "notes" else FINE_TUNE)
