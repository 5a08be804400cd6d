"""The options of `dlnotes visualize ...`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from dlnotes_cli.data.options import IMAGES_METAVAR, NAMED_SETS, DataRootOption
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import REQUIRED, Config, option, option_group, option_like
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

    sheet: Path = option_like(SheetOption, "sheet", default=REQUIRED, help="Contact sheet to write.")


@option_group
class FiltersOptions(LayerOption, WrittenSheetOption):
    """The options of `visualize filters` only."""

    layer: str | None = option_like(LayerOption, "layer", shown_default="the first with weights")
    top: int = option(64, "Show the N filters with the largest weights.", panel="Output", within="[1, 4096]")
    sheet: Path = option_like(WrittenSheetOption, "sheet", default=Path("filters.png"))


@dataclass(frozen=True, kw_only=True)
class FiltersConfig(InspectedModelArgument, FiltersOptions, OverwriteOption, NetworkOptions):
    """Every option of `visualize filters`."""

    command: ClassVar[str] = "visualize filters"


@option_group
class ImageArgument(Config):
    """The image of a command."""

    image: str | None = option(
        None, "Image file.", panel="Data", is_argument=True, metavar="IMAGE", shown_default="an image from scikit-learn"
    )


@option_group
class ActivationsOptions(LayerOption, WrittenSheetOption):
    """The options of `visualize activations` only."""

    layer: str = option_like(
        LayerOption, "layer", default=ALL_LAYERS,
        help="Layer, by its name in 'dlnotes visualize layers MODEL', or all for one strip per layer.",
        metavar="NAME|all", shown_default=None,
    )  # fmt: skip
    top: int | None = option(
        None, "Show the N units with the largest mean.", panel="Output", within="[1, 1e6]",
        shown_default="all units; 6 with --layer all",
    )  # fmt: skip
    sheet: Path = option_like(WrittenSheetOption, "sheet", default=Path("activations.png"))
    out: Path | None = option(
        None, "Write the maps of each layer, (C, H, W), to this .npz file.", panel="Output", metavar="FILE.npz"
    )

    def __post_init__(self) -> None:
        """Validate each option, then the name of the output file."""
        super().__post_init__()
        check_suffix("--out", self.out, ".npz")


@dataclass(frozen=True, kw_only=True)
class ActivationsConfig(InspectedModelArgument, ImageArgument, ActivationsOptions, InspectionOptions):
    """Every option of `visualize activations`."""

    command: ClassVar[str] = "visualize activations"


@option_group
class UnitOption(Config):
    """The units of a layer."""

    unit: tuple[str, ...] = option(
        (TOP_UNITS,),
        "Unit numbers, or class names for the output layer, or top for the most active units.",
        panel="Model", parse=items, metavar="N,N,…|top",
    )  # fmt: skip
    top: int = option(10, "Number of units with --unit top.", panel="Output", within="[1, 1000]")

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """Create a config from the options of a command line; a number of units needs `--unit top`."""
        config = super().from_options(values)
        if "top" in values and config.unit != (TOP_UNITS,):
            raise InputError("--top", f"has no effect with --unit {','.join(config.unit)}", "drop one of them")
        return config


@option_group
class MaximizeOptions(UnitOption, LayerOption, WrittenSheetOption):
    """The options of `visualize maximize` only."""

    layer: str | None = option_like(LayerOption, "layer", shown_default="the output layer, whose units are the classes")
    size: int | None = option(
        None, "Pixels per side of the optimized images.", panel="Data", within="[1, 4096]",
        shown_default="the network's input size; for feature maps at least 64 where the network accepts it",
    )  # fmt: skip
    steps: int = option(256, "Steps of gradient ascent.", panel="Training", within="[1, 1e6]")
    sheet: Path = option_like(WrittenSheetOption, "sheet", default=Path("maximize.png"))
    out: Path | None = option(None, "Save each image in this folder.", panel="Output", metavar="FOLDER")


@dataclass(frozen=True, kw_only=True)
class MaximizeConfig(InspectedModelArgument, MaximizeOptions, OverwriteOption, NetworkOptions):
    """Every option of `visualize maximize`."""

    command: ClassVar[str] = "visualize maximize"


@option_group
class DreamOptions(LayerOption, SheetOption):
    """The options of `visualize dream` only."""

    layer: str | None = option_like(LayerOption, "layer", shown_default="one at four fifths of the depth")
    guide: str | None = option(
        None,
        "Amplify what resembles this image.",
        panel="Data",
        metavar="IMAGE",
        shown_default="whatever the layer finds",
    )
    octaves: int = option(5, "Sizes of the image, from coarse to fine.", panel="Training", within="[1, 20]")
    octave_scale: float = option(1.4, "Ratio of one size to the one before.", panel="Training", within="(1, 10]")
    steps: int = option(8, "Steps of gradient ascent in each octave.", panel="Training", within="[1, 1e4]")
    strength: float = option(
        1.5, "Standard deviation of the change of a pixel in a step, of 255.", panel="Training", within="(0, 255]"
    )
    out: Path | None = option(
        None, "Image file to write.", panel="Output", metavar="FILE", shown_default="<name of the image>-dream.png"
    )


@dataclass(frozen=True, kw_only=True)
class DreamConfig(ImageArgument, DreamOptions, InspectionOptions):
    """Every option of `visualize dream`."""

    command: ClassVar[str] = "visualize dream"


@option_group
class DataCommandOptions(DataRootOption, InspectionOptions):
    """What the commands have that go over a data set."""

    data: str = option(
        "digits",
        f"A named set ({', '.join(NAMED_SETS)}), resized to the network's input, or a folder of images.",
        panel="Data",
        metavar=IMAGES_METAVAR,
        complete=lambda: list(NAMED_SETS),
    )


@option_group
class PatchesOptions(UnitOption, LayerOption, WrittenSheetOption):
    """The options of `visualize patches` only."""

    layer: str | None = option_like(
        LayerOption, "layer", shown_default="the last one whose units see less than an image"
    )
    gradient: Literal["guided", "deconvnet", "none"] = option(
        "guided",
        "Show next to each patch the unit's gradient by guided backpropagation (guided) or by a deconvnet, or none.",
        panel="Model",
    )
    sheet: Path = option_like(WrittenSheetOption, "sheet", default=Path("patches.png"))


@dataclass(frozen=True, kw_only=True)
class PatchesConfig(InspectedModelArgument, PatchesOptions, DataCommandOptions):
    """Every option of `visualize patches`."""

    command: ClassVar[str] = "visualize patches"


@option_group
class FeatureLayerOption(LayerOption):
    """The layer whose output is the feature vector."""

    layer: str | None = option_like(
        LayerOption, "layer",
        help="Layer, by its name in 'dlnotes visualize layers MODEL', whose output is the feature vector; maps are "
        "averaged over positions.",
        shown_default="the last one before the output layer",
    )  # fmt: skip


@option_group
class NeighborsOptions(FeatureLayerOption, WrittenSheetOption):
    """The options of `visualize neighbors` only."""

    count: int = option(8, "Neighbors of each image.", panel="Output", within="[1, 1000]")
    sheet: Path = option_like(WrittenSheetOption, "sheet", default=Path("neighbors.png"))


@dataclass(frozen=True, kw_only=True)
class NeighborsConfig(InspectedModelArgument, ImagesArgument, NeighborsOptions, DataCommandOptions):
    """Every option of `visualize neighbors`."""

    command: ClassVar[str] = "visualize neighbors"


@option_group
class EmbeddingOptions(FeatureLayerOption, WrittenSheetOption):
    """The options of `visualize embedding` only."""

    method: Literal["pca", "tsne", "umap"] = option(
        "pca", "Projection: pca, tsne, or umap (needs the package umap-learn).", panel="Model"
    )
    sheet: Path = option_like(WrittenSheetOption, "sheet", default=Path("embedding.png"), help="Scatter plot to write.")
    csv: Path | None = option(
        None, "Write file, class and coordinates of each image to this CSV file.", panel="Output", metavar="FILE.csv"
    )
    out: Path | None = option(
        None, "Write coordinates, features, labels and names to this .npz file.", panel="Output", metavar="FILE.npz"
    )

    def __post_init__(self) -> None:
        """Validate each option, then the names of the output files."""
        super().__post_init__()
        check_suffix("--csv", self.csv, ".csv")
        check_suffix("--out", self.out, ".npz")


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig(InspectedModelArgument, EmbeddingOptions, DataCommandOptions):
    """Every option of `visualize embedding`."""

    command: ClassVar[str] = "visualize embedding"


def check_suffix(option: str, path: Path | None, suffix: str) -> None:
    """Raise InputError if the name of a file to write does not end in `suffix`."""
    if path is not None and path.suffix.lower() != suffix:
        raise InputError(option, f"{path} does not end in {suffix}", f"name it {path.with_suffix(suffix).name}")
