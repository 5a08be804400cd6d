"""The options of `dlnotes data ...` and `dlnotes doctor`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from dlnotes_cli.data.options import (
    IMAGES_HELP,
    IMAGES_METAVAR,
    DataOption,
    DataRootOption,
    ImageShapeOptions,
    SourceOptions,
    check_data_options,
)
from dlnotes_cli.shell.files import check_png
from dlnotes_cli.shell.option import DATA, OUTPUT, TRAINING, Config, option, option_group, option_like
from dlnotes_cli.shell.option_groups import OutputOptions, OverwriteOption, SeedOption, ThreadsOption
from dlnotes_cli.training.options import AugmentOption


@dataclass(frozen=True, kw_only=True)
class DataListConfig(OutputOptions, DataRootOption):
    """Every option of `data list`."""

    command: ClassVar[str] = "data list"


@option_group
class DataArgument(DataOption):
    """The data set that is described."""

    data: str = option_like(DataOption, "data", is_argument=True)


@dataclass(frozen=True, kw_only=True)
class DataInfoConfig(OutputOptions, ThreadsOption, SourceOptions, DataArgument):
    """Every option of `data info`."""

    command: ClassVar[str] = "data info"


@option_group
class PreviewOptions(Config):
    """The options of `data preview` only."""

    data: str = option_like(DataOption, "data", help=IMAGES_HELP, metavar=IMAGES_METAVAR, is_argument=True)
    samples: int = option(8, "Images to show, drawn in equal numbers from all classes.", panel=DATA, within="[1, 64]")
    size: int | None = option_like(
        ImageShapeOptions, "size", shown_default="the images' common size if at most 64, else 128"
    )
    augment: str = option_like(AugmentOption, "augment", default="standard", shown_default=None)
    variants: int = option(4, "Augmented variants to show of each image.", panel=TRAINING, within="[1, 16]")
    out: Path = option(Path("preview.png"), "PNG file to write.", panel=OUTPUT, metavar="FILE.png")


@dataclass(frozen=True, kw_only=True)
class DataPreviewConfig(OutputOptions, OverwriteOption, SeedOption, PreviewOptions, ImageShapeOptions, SourceOptions):
    """Every option of `data preview`."""

    command: ClassVar[str] = "data preview"

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """Create a config from the options of a command line, which must apply to this kind of data."""
        config = super().from_options(values)
        check_data_options(config.data, values)
        return config

    def __post_init__(self) -> None:
        """Validate each option, then the name of the output file."""
        super().__post_init__()
        check_png("--out", self.out)


@dataclass(frozen=True, kw_only=True)
class CacheListConfig(OutputOptions):
    """Every option of `data cache list`."""

    command: ClassVar[str] = "data cache list"


@option_group
class CacheArgument(Config):
    """The folder whose cache is deleted."""

    folder: Path | None = option(
        None, "Clear only the cache of this folder.", panel=DATA, is_argument=True, metavar="FOLDER"
    )


@dataclass(frozen=True, kw_only=True)
class CacheClearConfig(OutputOptions, CacheArgument):
    """Every option of `data cache clear`."""

    command: ClassVar[str] = "data cache clear"


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(OutputOptions, DataRootOption):
    """Every option of `doctor`."""

    command: ClassVar[str] = "doctor"
