"""The options of `dlnotes visualize ...`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.data.options import DataOption, DataRootOption, IMAGES_METAVAR, NAMED_SETS
from dlnotes_cli.shell.files import check_png
from dlnotes_cli.shell.option import DATA, MODEL, OUTPUT, REQUIRED, TRAINING, Config, option, option_group, varied
from dlnotes_cli.shell.option_groups import OverwriteOption
from dlnotes_cli.shell.parse import items
from dlnotes_cli.training.inspection.options import (
    ImagesArgument,
    InspectedModelArgument,
    InspectionOptions,
    LayerOption,
    NetworkOptions,
    SheetOption,
)

ALL_LAYERS = "all"
TOP_UNITS = "top"


@dataclass(frozen=True, kw_only=True)
class LayersConfig(InspectedModelArgument, NetworkOptions):
    """Every option of `visualize layers`."""

    command: ClassVar[str] = "visualize layers"


@option_group
class WrittenSheetOption(SheetOption):
    """The contact sheet of a command that always writes one."""

    sheet: Path = varied(SheetOption, "sheet", default=REQUIRED, help="Contact sheet to write.")


@option_group
class FiltersOptions(LayerOption, WrittenSheetOption):
    """The options of `visualize filters` only."""

    layer: str | None = varied(LayerOption, "layer", shown_default="the first with weights")
    top: int = option(64, "Show the N filters with the largest weights.", panel=MODEL, within="[1, 4096]")
    sheet: Path = varied(WrittenSheetOption, "sheet", default=Path("filters.png"))


@dataclass(frozen=True, kw_only=True)
class FiltersConfig(InspectedModelArgument, FiltersOptions, OverwriteOption, NetworkOptions):
    """Every option of `visualize filters`."""

    command: ClassVar[str] = "visualize filters"
