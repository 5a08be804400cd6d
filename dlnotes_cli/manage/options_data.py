"""The options of `dlnotes data list`, `dlnotes data info` and `dlnotes data preview`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dlnotes_cli.data.options import NAMED_SETS, DataRootOptions, ImageShapeOptions, SourceOptions
from dlnotes_cli.shell.files import check_png
from dlnotes_cli.shell.option import DATA, DEVICE, OUTPUT, TRAINING, Config, option
from dlnotes_cli.shell.option_groups import OutputOptions
from dlnotes_cli.training.options import AUGMENT_HELP


@dataclass(frozen=True, kw_only=True)
class DataListConfig(OutputOptions, DataRootOptions):
    """Every option of `data list`."""

    command: ClassVar[str] = "data list"


@dataclass(frozen=True, kw_only=True)
class DataArgument(Config):
    """The data that is looked at."""

    data: str = option(
        "digits",
        "A named set, a folder of class folders, or a CSV file.",
        group=DATA,
        is_argument=True,
        metavar="NAME|FOLDER|CSV",
        complete=lambda: list(NAMED_SETS),
    )
    threads: int | None = option(
        None,
        "Threads that read images.",
        group=DEVICE,
        within="[1, 1024]",
        shown_default="OMP_NUM_THREADS, else all cores",
    )


@dataclass(frozen=True, kw_only=True)
class DataInfoConfig(OutputOptions, SourceOptions, DataArgument):
    """Every option of `data info`."""

    command: ClassVar[str] = "data info"


@dataclass(frozen=True, kw_only=True)
class PreviewOptions(Config):
    """What `data preview` alone has."""

    data: str = option(
        "digits",
        "A named set or a folder of class folders.",
        group=DATA,
        is_argument=True,
        metavar="NAME|FOLDER",
        complete=lambda: list(NAMED_SETS),
    )
    samples: int = option(8, "Images shown, drawn from all classes alike.", group=DATA, within="[1, 64]")
    augment: str = option("standard", AUGMENT_HELP, group=TRAINING, metavar="WORDS")
    variants: int = option(4, "Variants shown of each image.", group=TRAINING, within="[1, 16]")
    seed: int = option(
        0, "Seed of the choice, and of the variants as in a training run.", group=TRAINING, within="[0, 9e15]"
    )
    out: Path = option(Path("preview.png"), "PNG file to write.", group=OUTPUT)
    overwrite: bool = option(False, "Replace a file that exists.", group=OUTPUT, names=("--overwrite",))


@dataclass(frozen=True, kw_only=True)
class DataPreviewConfig(OutputOptions, PreviewOptions, ImageShapeOptions, SourceOptions):
    """Every option of `data preview`."""

    command: ClassVar[str] = "data preview"

    def __post_init__(self) -> None:
        """Check each option, and the ending of the sheet."""
        super().__post_init__()
        check_png("--out", self.out)
