"""The options of `dlnotes style-transfer`, and the recipes that set those which a user leaves open."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import option
from dlnotes_cli.shell.parse import items, numbers
from dlnotes_cli.training import options as training_options
from dlnotes_cli.training.recipes import resolve

StyleNet = Literal["small", "vgg16", "vgg19", "squeezenet1_0", "squeezenet1_1"]
StyleOptimizer = Literal["lbfgs", "adam"]
Pooling = Literal["avg", "max"]


@dataclass(frozen=True, kw_only=True)
class StyleTransferConfig(common.OnDevice, common.ReadsImages, command="style-transfer"):
    """Every option of `style-transfer`."""

    images: tuple[str, ...] = option(
        (), "Content image, then style image: the same as --content and --style.", panel="Data", is_argument=True,
        metavar="CONTENT STYLE",
    )  # fmt: skip
    content: str | None = option(
        None, "Content image, or a folder of images, including its subfolders.", panel="Data", metavar="FILE|FOLDER",
        shown_default="an image from scikit-learn",
    )  # fmt: skip
    style: tuple[str, ...] = option(
        (), "Style image. For several, repeat the option or separate them by commas; each may have a weight.",
        panel="Data", metavar="FILE[:W]", shown_default="a generated image",
    )  # fmt: skip
    mask: tuple[str, ...] = option(
        (), "Give a region of the content the style of a region of the style image, white in two masks.",
        panel="Data", metavar="CONTENT.png:STYLE.png",
    )  # fmt: skip
    match_color: Literal["linear", "histogram"] | None = option(
        None, "First give the style the content's colors: linear (mean and covariance) or histogram.", panel="Data",
    )  # fmt: skip
    size: int = option(384, "Pixels of the result's longer side.", panel="Data", within="[16, 16384]")
    style_scale: float = option(
        1.0, "Size of the style image relative to the result; not with --recipe notes.", panel="Data",
        within="[0.05, 8]", unused_with=("recipe=notes",),
    )  # fmt: skip
    backbone: StyleNet = option(
        "small", "Network that computes the features: small (part of dlnotes), vgg16, vgg19 or squeezenet1_0/1.",
        panel="Model",
    )  # fmt: skip
    content_layer: str | None = option(
        None, "Layer of the content loss; --list-layers shows all.", panel="Model", metavar="LAYER",
        shown_default="set by --backbone",
    )  # fmt: skip
    style_layers: tuple[str, ...] = option(
        (), "Layers of the style loss (Gram matrices) with their weights, for example conv1_1:1.0,conv2_1:0.75.",
        panel="Model", parse=items, metavar="LAYER:W,…", shown_default="set by --backbone",
    )  # fmt: skip
    pooling: Pooling | None = option(
        None, "Type of the network's pooling layers", panel="Model",
        shown_default="avg; --recipe notes: max, but for small",
    )  # fmt: skip
    content_loss: Literal["mean", "half-sum"] = option(
        "mean", "With --recipe notes: mean of the squared differences, or half-sum (Gatys et al. 2016).",
        panel="Model", needs=("recipe=notes",),
    )  # fmt: skip
    ratio: float | None = option(
        None, "Content weight divided by style weight; lower it for more style. Recipes are not comparable.",
        panel="Model", within="[1e-12, 1e12]",
        shown_default="squeezenet: 0.1, others: 0.03; --recipe notes: 1e-6", conflicts=("sweep_ratio",),
    )  # fmt: skip
    sweep_ratio: tuple[float, ...] = option(
        (), "Make one result per ratio; --sheet shows them side by side.", panel="Model", parse=numbers,
        within="[1e-12, 1e12]", metavar="X,X,…", needs=("sheet",),
    )  # fmt: skip
    tv: float | None = option(
        None, "Weight of the total variation loss, which smooths the result.", panel="Model", within="[0, 1e6]",
        shown_default="small: 0.05, others: 0.1; --recipe notes: 0",
    )  # fmt: skip
    preserve_color: bool = option(False, "Keep the content's colors; transfer only lightness.", panel="Model")
    weights: str = training_options.WEIGHTS
    recipe: Literal["best", "notes"] = training_options.RECIPE
    time_budget: float | None = training_options.TIME_BUDGET
    optimizer: StyleOptimizer | None = option(
        None, "Optimizer", panel="Training", shown_default="lbfgs; --recipe notes: adam"
    )
    lr: float | None = option(
        None, "Learning rate.", panel="Training", within="(0, 1e6]",
        shown_default="lbfgs: 1, adam: 0.02; --recipe notes: 0.003",
    )  # fmt: skip
    steps: int | None = option(
        None, "Maximum number of optimizer steps at each scale.", panel="Training", within="[1, 1e6]",
        shown_default="90; --recipe notes: 2000",
    )  # fmt: skip
    scales: int | None = option(
        None, "Number of image sizes to optimize in turn, from coarse to fine.", panel="Training", within="[1, 8]",
        shown_default="3; --recipe notes: 1",
    )  # fmt: skip
    start: str = option(
        "content", "Image to start from: content, noise, or a file.", panel="Training", metavar="content|noise|FILE"
    )
    out: Path = option(
        Path("stylized.png"), "Result: a .png, .jpg or .webp file, or a folder.", panel="Output", metavar="FILE|FOLDER"
    )
    sheet: Path | None = common.png_option("Save content, style and results side by side in this PNG file.")
    gram: Path | None = common.png_option(
        "Draw the Gram matrices of style, content and results as heat maps to this PNG file."
    )
    animate: Path | None = option(
        None, "Animate the optimization as a GIF; for one result.", panel="Output", metavar="FILE.gif",
        ends_in=".gif",
    )  # fmt: skip
    save_every: int | None = option(
        None, "Write the current image every N steps.", panel="Output", within="[1, 1e6]", shown_default="at the end"
    )
    continue_run: bool = option(
        False, "Resume an interrupted command: give its options again; finished results are kept.", panel="Output",
        name="--continue",
    )  # fmt: skip
    list_layers: bool = option(False, "List the layers of --backbone; do not stylize.", panel="Output")
    overwrite: bool = common.OVERWRITE
    fit: bool = option(False, "If --size does not fit in memory, use the largest size that does.", panel="Runtime")
    tile: int | None = option(
        None, "Compute the features in tiles of N pixels: less memory, more time, the same loss, no seams.",
        panel="Runtime", metavar="N", within="[64, 16384]",
    )  # fmt: skip
    seed: int = common.SEED

    def __post_init__(self) -> None:
        """Validate each option, then their combination; images that are arguments become content and style."""
        super().__post_init__()
        self._name_images()
        if self.precision == "fp16":
            raise InputError("--precision", "Gram matrices exceed the range of fp16", "use bf16 or fp32")
        names = [f"{ratio:g}" for ratio in self.sweep_ratio]
        if len(set(names)) < len(names):
            raise InputError("--sweep-ratio", "contains a ratio twice", "list each once")

    def _name_images(self) -> None:
        """Move the arguments to `content` and `style`."""
        if len(self.images) > 2:  # noqa: PLR2004  # content and style
            what = f"{len(self.images)} images, and at most two can be arguments: the content, then the style"
            raise InputError(
                "CONTENT STYLE", what, "name further style images with --style, or a folder of content images"
            )
        for name, value in zip(("content", "style"), self.images, strict=False):
            if getattr(self, name):
                raise InputError(f"--{name}", f"cannot be combined with the argument {value}", "drop one of them")
            object.__setattr__(self, name, value if name == "content" else (value,))
        object.__setattr__(self, "images", ())


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
