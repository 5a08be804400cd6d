"""The options of `dlnotes transfer`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from dlnotes_cli.data.options import Normalization
from dlnotes_cli.models.choices import BACKBONES
from dlnotes_cli.models.embedded import EMBEDDED_NAME
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import check_at_most_one, option, option_group, option_like
from dlnotes_cli.shell.parse import integers
from dlnotes_cli.training.options import DropoutOption, ImageClassifierConfig, WeightsOption
from dlnotes_cli.training.recipes import OptimizerName, ScheduleName, resolve
from dlnotes_cli.transfer.recipes import FINE_TUNE, FROZEN, NOTES, FineTuneRecipe, FrozenRecipe


def last_blocks(text: str) -> str:
    """Validate a value of `--fine-tune`: `all` or `last-N`.

    >>> last_blocks("last-2")
    'last-2'
    """
    if not re.fullmatch(r"all|last-[1-9]\d{0,5}", text.strip()):
        raise ValueError(f"'{text}' is neither all nor last-N, such as last-2")
    return text.strip()


@option_group
class BackboneOptions(WeightsOption):
    """The pretrained network."""

    backbone: str | None = option(
        None,
        "Pretrained torchvision network (--list shows all), or small, which is part of dlnotes and needs no download.",
        panel="Model",
        metavar="NAME",
        complete=lambda: [EMBEDDED_NAME, *BACKBONES],
    )


@option_group
class TransferOptions(BackboneOptions, DropoutOption):
    """The options of `transfer` only."""

    hidden: tuple[int, ...] = option(
        (), "Units of each hidden layer of the new head.", panel="Model", parse=integers, within="[1, 1e6]",
        metavar="N,N,…", shown_default="no hidden layer",
    )  # fmt: skip
    dropout: float | None = option_like(
        DropoutOption, "dropout",
        help="With --fine-tune or --recipe notes: dropout probability after each hidden layer of the head.",
        shown_default="0",
    )  # fmt: skip
    fine_tune: str | None = option(
        None,
        "Unfreeze and train the last N blocks of the backbone too (last-N), or all blocks; without a value last-3.",
        panel="Model",
        parse=last_blocks,
        implied="last-3",
        metavar="[last-N|all]",
        shown_default="none: the backbone is frozen, and its features are computed once",
    )
    views: int = option(
        1,
        "Frozen backbone: train on N views of each image, all but the first augmented.",
        panel="Training",
        within="[1, 1000]",
    )
    folds: int | None = option(
        None,
        "Frozen backbone: choose the weight decay by N-fold cross-validation in place of one validation split.",
        panel="Training",
        within="[2, 100]",
    )
    export_features: Path | None = option(
        None, "Frozen backbone: write features, labels and names to this .npz file.", panel="Output",
        metavar="FILE.npz",
    )  # fmt: skip
    map_file: Path | None = option(
        None, "Frozen backbone: plot the features of all images, projected to two dimensions.", panel="Output",
        metavar="FILE.png", name="--map",
    )  # fmt: skip
    map_method: Literal["pca", "tsne"] = option("pca", "Projection of --map", panel="Output")
    list_backbones: bool = option(
        False, "List the backbones with their size, ImageNet accuracy and whether their weights are on this machine; "
        "do not train.", panel="Output", name="--list",
    )  # fmt: skip


def _of_gradient_training(name: str) -> Any:
    """An option that has no effect on a frozen backbone, as its help says."""
    text = ImageClassifierConfig.__dataclass_fields__[name].metadata["option"].help
    first = text[0].lower() if text[1].islower() else text[0]
    return option_like(ImageClassifierConfig, name, help=f"With --fine-tune or --recipe notes: {first}{text[1:]}")


@dataclass(frozen=True, kw_only=True)
class TransferConfig(ImageClassifierConfig, TransferOptions):
    """Every option of `transfer`; some that classifiers share have another default or meaning here, or none."""

    command: ClassVar[str] = "transfer"
    recipes: ClassVar[Mapping[str, object]] = {"": FROZEN, "--fine-tune": FINE_TUNE, "notes": NOTES}

    color: Literal["gray", "rgb"] | None = None  # always rgb
    normalize: Normalization | None = None  # as the weights require
    size: int | None = option_like(
        ImageClassifierConfig, "size", help="Pixels per side of the backbone's input.", shown_default="set by --weights"
    )
    resize: Literal["crop", "squash", "letterbox"] = option_like(
        ImageClassifierConfig, "resize", help="Make images square by crop, squash or letterbox."
    )
    offline: bool = option_like(
        ImageClassifierConfig, "offline",
        help="Never download data sets or weights. Without --backbone, small replaces resnet18 if its weights are not "
        "on this machine.",
    )  # fmt: skip
    # The head of a frozen backbone is solved with L-BFGS, so that limits and weight decay mean something else.
    epochs: int | None = option_like(
        ImageClassifierConfig, "epochs",
        help="Passes over the training samples. Frozen backbone: limit of the passes per weight decay.",
    )  # fmt: skip
    max_steps: int | None = option_like(
        ImageClassifierConfig, "max_steps", help="Stop after N optimizer steps. Frozen backbone: after N passes in all."
    )
    weight_decay: float | None = option_like(
        ImageClassifierConfig, "weight_decay",
        help="Weight decay: L2 penalty on the weights (decoupled with adamw). Frozen backbone: λ in λ/2·‖w‖², for "
        "standardized features.", shown_default="chosen by validation; --fine-tune: 0.05; notes: 0",
    )  # fmt: skip
    lr: float | None = _of_gradient_training("lr")
    schedule: ScheduleName | None = _of_gradient_training("schedule")
    optimizer: OptimizerName | None = _of_gradient_training("optimizer")
    momentum: float | None = _of_gradient_training("momentum")
    patience: int | None = _of_gradient_training("patience")
    ema: float | None = _of_gradient_training("ema")
    grad_clip: float | None = _of_gradient_training("grad_clip")
    batch_size: int | None = _of_gradient_training("batch_size")
    l1: float | None = _of_gradient_training("l1")
    augment: str | None = option_like(
        ImageClassifierConfig, "augment",
        help=f"{ImageClassifierConfig.__dataclass_fields__['augment'].metadata['option'].help} Frozen backbone: needs "
        "--views.",
    )  # fmt: skip

    @property
    def reads_in_own_shape(self) -> bool:
        """Whether named sets keep the shape of their images: no, all images are resized for the backbone."""
        return False

    @property
    def is_frozen(self) -> bool:
        """Whether the backbone is frozen: its features are computed once; otherwise it runs in every step."""
        return self.fine_tune is None and self.recipe == "best"

    def resolved(self) -> FrozenRecipe | FineTuneRecipe:
        """The recipe of the run, in which options that are set replace values."""
        if self.is_frozen:
            return resolve(self, FROZEN)
        return resolve(self, NOTES if self.recipe == "notes" else FINE_TUNE)

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        for limit, value in (("--time-budget", self.time_budget), ("--max-steps", self.max_steps)):
            check_at_most_one({"--folds": bool(self.folds), limit: bool(value)}, "every fold is fitted to the end")
        if self.map_method == "tsne" and self.map_file is None:
            raise InputError("--map-method", "has no effect without --map", "add --map map.png")
