"""The options with which commands open a trained classifier."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.data import options as data_options
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import REQUIRED, option
from dlnotes_cli.training.options import ARCH, CourseArch, complete_models_and_onnx

PixelScaling = Literal["imagenet", "unit", "symmetric"]

MODEL = option(
    REQUIRED, "Model file, the run folder that holds it, or an ONNX file, which runs without PyTorch.",
    panel="Model", is_argument=True, metavar="MODEL", complete=complete_models_and_onnx,
)  # fmt: skip
SIZE = option(
    None, "ONNX file of another program: pixels per side of its input.", panel="Data", within="[1, 4096]",
    shown_default="what the file says",
)  # fmt: skip
NORMALIZE = option(
    None, "ONNX file of another program: pixel scaling: imagenet, unit (0 to 1) or symmetric (-1 to 1).",
    panel="Data", shown_default="what the file says",
)  # fmt: skip
CLASSES = option(
    None, "ONNX file of another program: text file of its class names, one per line.", panel="Data", metavar="FILE",
    shown_default="the names in the file, else numbers",
)  # fmt: skip
TTA = option(
    False,
    "Test-time augmentation: average over one-pixel shifts and mirror images; 3 to 6 times as slow.",
    panel="Model",
)
PRECISION = replace(common.PRECISION, help="fp32, bf16 or fp16 (mixed precision; fp16 on CUDA only), or auto: fp32.")
TOP = option(3, "Number of classes to report per prediction.", panel="Output", within="[1, 1e6]")


SplitName = Literal["auto", "train", "val", "test", "all"]
DATA = option(
    None, data_options.DATA.help, panel="Data", metavar=data_options.DATA.metavar,
    complete=data_options.DATA.complete, shown_default="the data that the model was trained on",
)  # fmt: skip
SPLIT = option(
    "auto", "Split of the data: train, val, test, all, or auto (test if there is one, else val, else all).",
    panel="Data",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OpensClassifier(common.OnDevice):
    """The options of a command that opens a trained classifier."""

    is_shared: ClassVar[bool] = True
    model: Path = MODEL
    size: int | None = SIZE
    normalize: PixelScaling | None = NORMALIZE
    classes: Path | None = CLASSES
    arch: CourseArch | None = ARCH
    tta: bool = TTA


@dataclass(frozen=True, kw_only=True)
class LabeledDataOptions(OpensClassifier, data_options.ReadOptions):
    """The options of a command that evaluates a classifier on labeled data."""

    data: str | None = DATA
    split: SplitName = SPLIT
    target: str | None = option(
        None, "CSV of texts or list of images: column of the classes.", panel="Data", metavar="COLUMN",
        shown_default="that of the training data",
    )  # fmt: skip
    image_column: str | None = replace(data_options.IMAGE_COLUMN, shown_default="that of the training data")
    image_root: str | None = data_options.IMAGE_ROOT
    split_column: str | None = data_options.SPLIT_COLUMN
    text_column: str | None = data_options.TEXT_COLUMN


def check_no_foreign_options(options: OpensClassifier, what: str = "a model file") -> None:
    """Refuse the options about files of other programs for a file of dlnotes. Raises InputError."""
    for name in ("size", "normalize", "classes"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name}", f"{options.model} is {what} of dlnotes, which has its own", f"drop --{name}")
