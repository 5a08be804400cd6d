"""The options of `dlnotes style-transfer`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.shell.option import DATA, DEVICE, MODEL, OUTPUT, TRAINING, Config, option
from dlnotes_cli.shell.option_groups import DeviceOptions, OutputOptions, ReadImagesOptions
from dlnotes_cli.shell.parse import duration, numbers, words

StyleNet = Literal["small", "vgg16", "vgg19", "squeezenet1_0", "squeezenet1_1"]


@dataclass(frozen=True, kw_only=True)
class ImagesOptions(ReadImagesOptions):
    """What is painted, and in whose style."""

    content: str | None = option(
        None, "The image to paint, or a folder of images.", group=DATA, metavar="FILE|FOLDER",
        shown_default="a photograph of scikit-learn's",
    )  # fmt: skip
    style: tuple[str, ...] = option(
        (), "The image in whose style; several, each with its weight, by repeating it or as FILE:W,FILE:W.",
        group=DATA, metavar="FILE[:W]", shown_default="a drawing made here",
    )  # fmt: skip
    size: int = option(384, "Pixels on the longer side of the result.", group=DATA, within="[16, 16384]")
    style_scale: float = option(
        1.0,
        "Size of the style image, as a part of the result's; not with --recipe notes.",
        group=DATA,
        within="[0.05, 8]",
    )


@dataclass(frozen=True, kw_only=True)
class LossOptions(Config):
    """What is minimized."""

    backbone: StyleNet = option(
        "small", "The feature network: small (ours, in the package), vgg19 (the course's), or another.", group=MODEL
    )
    weights: str = option(
        "default", "Of all but small: default (torchvision's), a .pth or .safetensors file, or none (random).",
        group=MODEL, metavar="WORD|FILE",
    )  # fmt: skip
    offline: bool = option(False, "Never download.", group=MODEL, names=("--offline",))
    content_layer: str | None = option(
        None, "Layer whose features keep the content; --list-layers shows them.", group=MODEL, metavar="LAYER",
        shown_default="by backbone",
    )  # fmt: skip
    style_layers: tuple[str, ...] = option(
        (), "Layers whose correlations are the style, with weights: conv1_1:1.0,conv2_1:0.75.", group=MODEL,
        parse=words, metavar="LAYER:W,…", shown_default="by backbone",
    )  # fmt: skip
    pooling: Literal["avg", "max"] | None = option(
        None, "How the network shrinks its maps.", group=MODEL, shown_default="avg; --recipe notes: max"
    )
    ratio: float | None = option(
        None, "alpha / beta, content against style, smaller is more style; of relative losses, or of the notes'.",
        group=MODEL, within="[1e-12, 1e12]", shown_default="0.03; notes: 1e-6",
    )  # fmt: skip
    sweep_ratio: tuple[float, ...] = option(
        (), "Paint once for each of these ratios; --sheet shows them side by side.", group=MODEL, parse=numbers,
        within="[1e-12, 1e12]", metavar="X,X,…", shown_default="no",
    )  # fmt: skip
    tv: float | None = option(
        None,
        "Weight of the total variation, which smooths.",
        group=MODEL,
        within="[0, 1e6]",
        shown_default="small: 0.3, others: 0.1; notes: 0",
    )
    preserve_color: bool = option(
        False, "Keep the colors of the content; take the lightness alone.", group=MODEL, names=("--preserve-color",)
    )


@dataclass(frozen=True, kw_only=True)
class PaintingOptions(Config):
    """How it is minimized."""

    recipe: Literal["best", "notes"] = option("best", "best (ours) or notes (the course's).", group=TRAINING)
    optimizer: Literal["lbfgs", "adam"] | None = option(
        None, "Optimizer.", group=TRAINING, shown_default="lbfgs; notes: adam"
    )
    lr: float | None = option(
        None, "Learning rate.", group=TRAINING, within="(0, 1e6]", shown_default="lbfgs: 1; adam: 0.02, notes: 0.003"
    )
    steps: int | None = option(
        None, "Most steps at each scale.", group=TRAINING, within="[1, 1e6]", shown_default="100; notes: 2000"
    )
    scales: int | None = option(
        None, "Sizes painted one after the other, from coarse to fine.", group=TRAINING, within="[1, 8]",
        shown_default="3; notes: 1",
    )  # fmt: skip
    init: str = option(
        "content", "What to begin with: content, noise, or an image.", group=TRAINING, metavar="WORD|FILE"
    )
    time_budget: float | None = option(
        None, "Seconds of painting (30s, 5m), shared by all images.", group=TRAINING, within="(0, 1e7]",
        parse=duration, metavar="TIME", shown_default="none",
    )  # fmt: skip
    seed: int = option(0, "Seed of noise and of random weights.", group=TRAINING, within="[0, 9e15]")


@dataclass(frozen=True, kw_only=True)
class ResultOptions(Config):
    """What is written."""

    out: Path = option(Path("painted.png"), "The result: .png, .jpg or .webp; or a folder.", group=OUTPUT)
    overwrite: bool = option(False, "Replace files that exist.", group=OUTPUT, names=("--overwrite",))
    sheet: Path | None = option(
        None, "Draw content, style and results side by side into this PNG.", group=OUTPUT, shown_default="none"
    )
    save_every: int | None = option(
        None, "Write the image so far every N steps.", group=OUTPUT, within="[1, 1e6]", shown_default="at the end"
    )
    goes_on: bool = option(
        False, "Go on where a stopped run was; what is painted is left as it is.", group=OUTPUT, names=("--resume",)
    )
    list_layers: bool = option(False, "Show the layers of --backbone, and end.", group=OUTPUT, names=("--list-layers",))
    fit: bool = option(
        False, "Where memory does not do for --size, paint as large as it does.", group=DEVICE, names=("--fit",)
    )


@dataclass(frozen=True, kw_only=True)
class StyleTransferConfig(OutputOptions, DeviceOptions, ResultOptions, PaintingOptions, LossOptions, ImagesOptions):
    """Every option of `style-transfer`."""

    command: ClassVar[str] = "style-transfer"
