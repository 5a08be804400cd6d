"""The options of `dlnotes evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.data.options import NAMED_SETS, SourceOptions
from dlnotes_cli.shell.option import DATA, MODEL, OUTPUT, Config, option
from dlnotes_cli.shell.option_groups import DeviceOptions, OutputOptions
from dlnotes_cli.shell.parse import whole_numbers
from dlnotes_cli.training.options import ModelArgument


@dataclass(frozen=True, kw_only=True)
class ViewOptions(Config):
    """How a model looks at images."""

    tta: bool = option(
        False,
        "Images: average over shifts by a pixel and mirror images (never of digits); takes 3 or 6 times as long.",
        group=MODEL,
        names=("--tta",),
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Config):
    """What `evaluate` alone has."""

    data: str | None = option(
        None,
        "A named set, a folder of class folders, or a CSV file.",
        group=DATA,
        metavar="NAME|FOLDER|CSV",
        shown_default="what the model was trained on",
        complete=lambda: list(NAMED_SETS),
    )
    split: Literal["auto", "train", "val", "test", "all"] = option(
        "auto", "Part of the data; auto is the test split, or else all that the model has not seen.", group=DATA
    )
    top: tuple[int, ...] = option(
        (5,),
        "Count a sample as right if its class is among the k most probable, where there are more than k.",
        group=OUTPUT,
        parse=whole_numbers,
        within="[1, 1e6]",
        metavar="K,…",
    )
    out: Path | None = option(None, "Folder for the images.", group=OUTPUT, shown_default="no images")
    csv: str | None = option(
        None,
        "Write the scores of each class to this file; - is stdout.",
        group=OUTPUT,
        metavar="PATH|-",
        shown_default="none",
    )
    overwrite: bool = option(False, "Replace files that exist.", group=OUTPUT, names=("--overwrite",))
    min_accuracy: float | None = option(
        None, "Exit with 4 if the accuracy is lower.", group=OUTPUT, within="[0, 1]", shown_default="no gate"
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(OutputOptions, DeviceOptions, EvaluateOptions, SourceOptions, ViewOptions, ModelArgument):
    """Every option of `evaluate`."""

    command: ClassVar[str] = "evaluate"
