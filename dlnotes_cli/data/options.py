"""Options that select a data set and say how it is read."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.option import Config, option
from dlnotes_cli.shell.option_groups import ReadsImages
from dlnotes_cli.shell.parse import items, regular_expression

Normalization = Literal["standard", "unit", "symmetric"]
Resize = Literal["crop", "squash", "letterbox"]
NAMED_SETS = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")
SERIES_SETS = ("sine", "trend-season")  # of series train
Fill = Literal["refuse", "linear", "forward", "skip"]  # what is done with missing values of time series
Scaling = Literal["standard", "minmax", "none"]  # of time series
EMBEDDED_TEXTS = "remarks"  # of train-text
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".gz", ".parquet", ".xlsx"})  # .gz: compressed CSV
Missing = Literal["indicator", "refuse", "drop"]  # what is done with missing numbers of tables
_NAMES = ", ".join(NAMED_SETS)
IMAGES_METAVAR = "NAME|FOLDER"
DATA_ROOT = option(
    None, "Folder of named data sets, searched before $DLNOTES_DATA and the cache.", panel="Data", metavar="FOLDER"
)
DATA = option(
    "digits",
    f"A folder with a subfolder per class, a CSV file, or {_NAMES}.",
    panel="Data",
    metavar="NAME|FOLDER|CSV",
    complete=lambda: list(NAMED_SETS),
)
IMAGES = option(
    "digits",
    f"A folder with a subfolder of images per class, a CSV list of images, or {_NAMES}.",
    panel="Data",
    metavar=f"{IMAGES_METAVAR}|CSV",
    complete=lambda: list(NAMED_SETS),
)
TARGET = option(None, "CSV: column to predict.", panel="Data", metavar="COLUMN")
CATEGORICAL = option(
    (), "CSV: numeric columns to one-hot encode.", panel="Data", parse=items, metavar="COLUMN,…",
    unused_with=("image_column",),
)  # fmt: skip
MISSING = option(
    "indicator", "CSV: missing numbers: indicator (their median, and an input that says so), refuse or drop (the row).",
    panel="Data", unused_with=("image_column",),
)  # fmt: skip
IMAGE_COLUMN = option(
    None, "CSV list of images: column of their paths.", panel="Data", metavar="COLUMN", conflicts=("text_column",)
)
IMAGE_ROOT = option(
    None, "CSV list of images: folder that the paths are relative to.", panel="Data", metavar="FOLDER",
    shown_default="that of the CSV", needs=("image_column",),
)  # fmt: skip
SPLIT_COLUMN = option(
    None, "CSV list of images: column that says train, val or test.", panel="Data", metavar="COLUMN",
    needs=("image_column",),
)  # fmt: skip
GROUP_COLUMN = option(
    None, "CSV: rows with the same value in this column, such as a patient, stay in one split.", panel="Data",
    metavar="COLUMN", conflicts=("group_pattern",),
)  # fmt: skip
GROUP_PATTERN = option(
    None, "Images: files stay in one split if this finds the same text (its first group) in their names.",
    panel="Data", metavar="REGEX", parse=regular_expression,
)  # fmt: skip
LIST_TARGET = option(
    None, "CSV list of images: column of the classes.", panel="Data", metavar="COLUMN", needs=("image_column",)
)
TEXT_COLUMN = option(
    None, "CSV of texts: column of the texts.", panel="Data", metavar="COLUMN",
    shown_default="that of the training data",
)  # fmt: skip
SIZE = option(
    None,
    "Image folders: pixels per side after resizing.",
    panel="Data",
    within="[1, 4096]",
    shown_default="the images' common size if at most 64, else 32",
)
RESIZE = option("crop", "Image folders: make images square by crop, squash or letterbox.", panel="Data")
COLOR = option(
    None, "Image folders: color channels, gray or rgb.", panel="Data", shown_default="gray if every image is gray"
)
CLASS_NAMES = option(
    None,
    "Image folders: JSON file with a name for each class folder, such as the course's cat_to_name.json.",
    panel="Data",
    metavar="FILE.json",
    shown_default="the folders' names",
)
NORMALIZE = option(
    None,
    "Pixel scaling: standard (mean 0 and standard deviation 1), unit (0 to 1) or symmetric (-1 to 1).",
    panel="Data",
)
VAL_SPLIT = option(
    None,
    "Fraction of the training samples held out for validation; 0 for none: the last weights are kept.",
    panel="Data",
    within="[0, 1)",
)
TEST_SPLIT = option(
    0.2, "Fraction of the samples to hold out for testing if the data has no test split.", panel="Data",
    within="(0, 1)",
)  # fmt: skip
LIMIT = option(None, "Use at most N training samples.", panel="Data", within="[1, 1e12]", shown_default="all")


@dataclass(frozen=True)
class LabelColumns:
    """The columns of a table that lists images, and the folder that its paths are relative to."""

    image: str
    target: str | None
    split: str | None = None
    root: str | None = None  # None: that of the table


@dataclass(frozen=True)
class GroupNames:
    """Where the name of a sample's group stands: in a column, or in what a pattern finds in a file name."""

    column: str | None
    pattern: str | None


@dataclass(frozen=True, kw_only=True)
class ReadOptions(ReadsImages):
    """The options of a command that reads a data set: where it is looked for, and how files are read."""

    data_root: Path | None = DATA_ROOT


@dataclass(frozen=True, kw_only=True)
class ListsImages(Config):
    """The options of a command that reads a list of images, too."""

    is_shared: ClassVar[bool] = True
    target: str | None = LIST_TARGET
    image_column: str | None = IMAGE_COLUMN
    image_root: str | None = IMAGE_ROOT
    split_column: str | None = SPLIT_COLUMN

    @property
    def labels(self) -> LabelColumns | None:
        """The columns of a table that lists images; None for other data."""
        if self.image_column is None:
            return None
        return LabelColumns(self.image_column, self.target, self.split_column, self.image_root)


@dataclass(frozen=True, kw_only=True)
class DatasetOptions(ListsImages, ReadOptions):
    """The options of a command that trains on a data set of images or rows; None is a choice that depends on it."""

    data: str = IMAGES
    group_column: str | None = GROUP_COLUMN
    group_pattern: str | None = GROUP_PATTERN
    categorical: tuple[str, ...] = ()
    missing: Missing = "indicator"
    size: int | None = SIZE
    resize: Resize = RESIZE
    color: Literal["gray", "rgb"] | None = COLOR
    class_names: Path | None = CLASS_NAMES

    @property
    def groups(self) -> GroupNames | None:
        """Where the groups of samples stand that stay in one split, if they do."""
        names = GroupNames(self.group_column, self.group_pattern)
        return None if names == GroupNames(None, None) else names


def check_data_options(data: str, values: Mapping[str, Any], *, resizes_all: bool = False) -> None:
    """Raise InputError for an option of CSV tables or image folders in `values` that has no effect on this data.

    With `resizes_all` the command resizes all images, also those of named sets.
    """
    is_named, is_folder = data in NAMED_SETS, False
    with suppress(OSError):  # of a path that is reported where it is read
        is_folder = not is_named and user_path(data).is_dir()
    is_table = not is_folder and Path(data).suffix.lower() in TABLE_SUFFIXES
    for name in ("target", "categorical", "missing", "image_column", "group_column"):
        if name in values and (is_named or is_folder):
            what = f"has no effect on {data}" if name.endswith("_column") else "has no effect on images"
            raise InputError(f"--{name.replace('_', '-')}", what, "drop it, or give a CSV file")
    if "group_pattern" in values and (is_named or (is_table and "image_column" not in values)):
        what, fix = f"has no effect on {data}", "drop it, or use --group-column" if is_table else "drop it"
        raise InputError("--group-pattern", what, fix)
    for name in ("class_names",) if resizes_all else ("size", "resize", "color", "class_names"):
        if name in values and (is_named or (is_table and "image_column" not in values)):
            what = f"has no effect on {data if is_named else 'a table'}"
            raise InputError(f"--{name.replace('_', '-')}", what, "drop it, or give a folder of images")
