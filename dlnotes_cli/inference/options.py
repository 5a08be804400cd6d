"""The options with which commands open a trained classifier."""

from pathlib import Path
from typing import Literal

from dlnotes_cli.data.options import ImageShapeOptions, SplitOptions
from dlnotes_cli.data.preprocessing import ImagePreprocessing, Preprocessing
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import Config, flag, option, option_group, option_like, options_of
from dlnotes_cli.shell.option_groups import DeviceOptions
from dlnotes_cli.training.options import CourseArchOption, ModelArgument, complete_models_and_onnx

PixelScaling = Literal["imagenet", "unit", "symmetric"]


TTA = option(
    False,
    "Test-time augmentation of images: average the predictions over one-pixel shifts and mirror images (digits: "
    "shifts only). Takes 3 to 6 times as long.",
    panel="Model",
)


@option_group
class TtaOption(Config):
    """Test-time augmentation."""

    tta: bool = TTA


TOP = option(3, "Number of classes to report per prediction.", panel="Output", within="[1, 1e6]")


@option_group
class TopOption(Config):
    """How many classes a prediction has."""

    top: int = TOP


CLASSES = option(
    None, "ONNX file of another program: text file of its class names, one per line.", panel="Data", metavar="FILE",
    shown_default="the names in the file, else numbers",
)  # fmt: skip


@option_group
class ForeignModelOptions(Config):
    """What an ONNX file of another program does not say about its input and classes."""

    size: int | None = option_like(
        ImageShapeOptions, "size", help="ONNX file of another program: pixels per side of its input.",
        shown_default="what the file says",
    )  # fmt: skip
    normalize: PixelScaling | None = option_like(
        SplitOptions,
        "normalize",
        help="ONNX file of another program: pixel scaling, imagenet (torchvision's mean and standard deviation), unit "
        "(0 to 1) or symmetric (-1 to 1).",
        shown_default="what the file says",
    )
    classes: Path | None = CLASSES


@option_group
class ClassifierOptions(DeviceOptions, TtaOption, CourseArchOption, ForeignModelOptions, ModelArgument):
    """A trained classifier, and how it runs."""

    model: Path = option_like(
        ModelArgument,
        "model",
        help="Model file, the run folder that holds it, or an ONNX file, which runs without PyTorch.",
        complete=complete_models_and_onnx,
    )

    def check_tta(self, preprocessing: Preprocessing) -> None:
        """Refuse `--tta` for a model that reads tables. Raises InputError."""
        if self.tta and not isinstance(preprocessing, ImagePreprocessing):
            what = "the model reads tables, and only images can be shifted and mirrored"
            raise InputError("--tta", what, "drop --tta")

    def check_for_model_file(self, what: str = "a model file") -> None:
        """Refuse the options about files of other programs. Raises InputError."""
        for name in ("size", "normalize", "classes"):
            if getattr(self, name) is not None:
                where = flag(name, options_of(ForeignModelOptions)[name])
                raise InputError(where, f"{self.model} is {what} of dlnotes, which has its own", f"drop {where}")
