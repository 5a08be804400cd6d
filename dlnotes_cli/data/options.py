"""Options that say which data is read, and how."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dlnotes_cli.shell.option import DATA, Config, option
from dlnotes_cli.shell.option_groups import ReadImagesOptions
from dlnotes_cli.shell.parse import words

NAMED_SETS = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")
BY_RECIPE = "by recipe"


@dataclass(frozen=True, kw_only=True)
class DataRootOptions(Config):
    """Where data is looked for."""

    data_root: Path | None = option(None, "A folder that holds named sets.", group=DATA)


@dataclass(frozen=True, kw_only=True)
class FindDataOptions(DataRootOptions):
    """Where data is looked for, and whether it may be downloaded."""

    offline: bool = option(False, "Never download.", group=DATA, names=("--offline",))


@dataclass(frozen=True, kw_only=True)
class SourceOptions(ReadImagesOptions, FindDataOptions):
    """Whatever reading a data set takes besides its name."""


@dataclass(frozen=True, kw_only=True)
class ChosenDataOptions(Config):
    """What is trained on."""

    data: str = option(
        "digits",
        f"A named set ({', '.join(NAMED_SETS)}), a folder of class folders, or a CSV file.",
        group=DATA,
        metavar="NAME|FOLDER|CSV",
        complete=lambda: list(NAMED_SETS),
    )
    target: str | None = option(None, "CSV: the column to predict.", group=DATA, metavar="COLUMN")
    categorical: tuple[str, ...] = option(
        (),
        "CSV: columns to one-hot encode though their cells are numbers.",
        group=DATA,
        parse=words,
        metavar="COLUMN,…",
    )


@dataclass(frozen=True, kw_only=True)
class ImageShapeOptions(Config):
    """The form that a folder's images are brought into."""

    size: int | None = option(
        None,
        "Folder: pixels on each side.",
        group=DATA,
        within="[1, 4096]",
        shown_default="the images' own if they share one of at most 64, else 32",
    )
    resize: Literal["crop", "squash", "letterbox"] = option("crop", "Folder: how an image is made square.", group=DATA)
    color: Literal["gray", "rgb"] | None = option(
        None, "Folder: channels.", group=DATA, shown_default="gray if every image is"
    )


@dataclass(frozen=True, kw_only=True)
class TrainingDataOptions(ImageShapeOptions, ChosenDataOptions):
    """What is trained on, and how a sample becomes numbers."""

    normalize: Literal["standard", "unit", "symmetric"] | None = option(
        None,
        "standard: mean 0, deviation 1 over the training split; unit: 0 to 1; symmetric: -1 to 1.",
        group=DATA,
        shown_default=BY_RECIPE,
    )
    val_split: float | None = option(
        None, "Part of the training samples kept for validation.", group=DATA, within="(0, 1)", shown_default=BY_RECIPE
    )
    test_split: float = option(
        0.2, "Part kept for the test, where the data has no test split of its own.", group=DATA, within="(0, 1)"
    )
    limit: int | None = option(
        None, "Train on at most this many samples.", group=DATA, within="[1, 1e12]", shown_default="all"
    )


@dataclass(frozen=True, kw_only=True)
class DataOptions(SourceOptions, TrainingDataOptions):
    """The data of a training run."""
