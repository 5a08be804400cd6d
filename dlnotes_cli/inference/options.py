"""The options with which commands open a trained classifier."""

from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

from dlnotes_cli.device import RuntimeOptions
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import REQUIRED, option
from dlnotes_cli.training.options import CourseArch, complete_models_and_onnx

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


class ClassifierOptions(RuntimeOptions, Protocol):
    """A trained classifier, and how it runs."""

    @property
    def model(self) -> Path:
        """The model file, or the run folder that holds it."""

    @property
    def size(self) -> int | None:
        """Pixels per side of the input of an ONNX file of another program."""

    @property
    def normalize(self) -> PixelScaling | None:
        """The scaling of its pixels."""

    @property
    def classes(self) -> Path | None:
        """The file of its class names."""

    @property
    def arch(self) -> CourseArch | None:
        """The network of a checkpoint of the course."""

    @property
    def tta(self) -> bool:
        """Whether images are augmented."""


def check_no_foreign_options(options: ClassifierOptions, what: str = "a model file") -> None:
    """Refuse the options about files of other programs for a file of dlnotes. Raises InputError."""
    for name in ("size", "normalize", "classes"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name}", f"{options.model} is {what} of dlnotes, which has its own", f"drop --{name}")
