"""The options of `dlnotes transfer`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.shell.option import DATA, MODEL, OUTPUT, TRAINING, Config, option
from dlnotes_cli.shell.parse import whole_numbers
from dlnotes_cli.training.options import ImageClassifierConfig

# What torchvision has, written down so that neither a wrong name nor completion waits for it to load.
_NAMES = """
alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161 densenet169 densenet201
efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6
efficientnet_b7 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5
mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf
regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_128gf regnet_y_16gf regnet_y_1_6gf
regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34
resnet50 resnext101_32x8d resnext101_64x4d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5
shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_b swin_s swin_t swin_v2_b swin_v2_s swin_v2_t vgg11 vgg11_bn
vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32 wide_resnet101_2
wide_resnet50_2
"""
BACKBONES = tuple(_NAMES.split())


def last_blocks(text: str) -> str:
    """What `--fine-tune` takes: `all` or `last-N`.

    >>> last_blocks("last-2")
    'last-2'
    """
    if not re.fullmatch(r"all|last-[1-9]\d{0,5}", text.strip()):
        raise ValueError(f"'{text}' is neither all nor last-N, last-2 for example")
    return text.strip()


@dataclass(frozen=True, kw_only=True)
class BackboneOptions(Config):
    """The network that is transferred, and what it starts with."""

    backbone: str | None = option(
        None,
        "A classification network of torchvision; --list shows them.",
        group=MODEL,
        metavar="NAME",
        complete=lambda: list(BACKBONES),
        shown_default="resnet18",
    )
    weights: str = option(
        "default",
        "default (torchvision's, downloaded once), the name of others it has, a .pth or .safetensors file, or none.",
        group=MODEL,
        metavar="WORD|FILE",
        complete=lambda: ["default", "none"],
    )


@dataclass(frozen=True, kw_only=True)
class TransferOptions(BackboneOptions):
    """What `transfer` alone has."""

    hidden: tuple[int, ...] = option(
        (), "Units of hidden layers in the new head.", group=MODEL, parse=whole_numbers, within="[1, 1e6]",
        metavar="N,N,…", shown_default="none",
    )  # fmt: skip
    fine_tune: str | None = option(
        None,
        "Train the backbone too: its last N blocks (last-N) or all; else it is frozen, its features computed once.",
        group=MODEL,
        parse=last_blocks,
        metavar="last-N|all",
        shown_default="the head alone",
    )
    views: int = option(
        1,
        "Frozen: look at each training image this many times, augmented but for the first.",
        group=TRAINING,
        within="[1, 1000]",
    )
    folds: int | None = option(
        None,
        "Frozen: choose by cross-validation over this many parts in place of one validation split.",
        group=TRAINING,
        within="[2, 100]",
        shown_default="none",
    )
    export_features: Path | None = option(
        None, "Frozen: write features, labels and names to this .npz file.", group=OUTPUT, metavar="FILE.npz",
        shown_default="no",
    )  # fmt: skip
    map_file: Path | None = option(
        None, "Frozen: draw all features in two dimensions to this .png file.", group=OUTPUT, metavar="FILE.png",
        shown_default="no", names=("--map",),
    )  # fmt: skip
    map_method: Literal["pca", "tsne"] = option("pca", "How --map finds its two dimensions: pca or tsne.", group=OUTPUT)
    list_backbones: bool = option(
        False, "Show the networks, their sizes and accuracies, and which weights are here; and end.", group=OUTPUT,
        names=("--list",),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TransferConfig(ImageClassifierConfig, TransferOptions):
    """Every option of `transfer`; some of those that classifiers share mean something else here, or nothing."""

    command: ClassVar[str] = "transfer"

    color: Literal["gray", "rgb"] | None = None  # always color
    normalize: Literal["standard", "unit", "symmetric"] | None = None  # by the weights
    size: int | None = option(
        None, "Pixels on each side that the backbone sees.", group=DATA, within="[1, 4096]",
        shown_default="by the weights",
    )  # fmt: skip
    resize: Literal["crop", "squash", "letterbox"] = option("crop", "How an image is made square.", group=DATA)
    epochs: int | None = option(
        None, "Passes over the training samples; frozen: at most, for each weight decay.", group=TRAINING,
        within="[1, 1e6]", shown_default="by recipe; frozen: 100",
    )  # fmt: skip
    max_steps: int | None = option(
        None, "Optimizer steps; frozen: passes in all.", group=TRAINING, within="[1, 1e12]",
        shown_default="as the epochs give",
    )  # fmt: skip
    weight_decay: float | None = option(
        None, "L2 penalty on the weights; frozen: half of it times their squares, for features of deviation 1.",
        group=TRAINING, within="[0, inf)", shown_default="by recipe; frozen: chosen by validation",
    )  # fmt: skip
