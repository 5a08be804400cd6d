"""The options of `dlnotes visualize ...`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dlnotes_cli.data import options as data_options
from dlnotes_cli.inference import inspection_options as inspection
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.option import option
from dlnotes_cli.shell.parse import items

ALL_LAYERS = "all"
TOP_UNITS = "top"
DEFAULT_TOP, LARGE_TOP = 10, 6  # units, of small and of large images
IMAGE = option(
    None, "Image file.", panel="Data", is_argument=True, metavar="IMAGE", shown_default="an image from scikit-learn"
)
IMAGES_DATA = option(
    "digits",
    f"A named set ({', '.join(data_options.NAMED_SETS)}), resized to the network's input, or a folder of images.",
    panel="Data", metavar=data_options.IMAGES_METAVAR, complete=lambda: list(data_options.NAMED_SETS),
)  # fmt: skip
UNIT = option(
    (TOP_UNITS,), "Unit numbers, or class names for the output layer, or top for the most active units.",
    panel="Model", parse=items, metavar="N,N,…|top",
)  # fmt: skip
TOP = option(
    None, "Number of units with --unit top.", panel="Output", within="[1, 1000]", shown_default=f"{DEFAULT_TOP}",
    needs=("unit=top",),
)  # fmt: skip
FEATURE_LAYER = option(
    None, "Layer of the feature vectors, as 'visualize layers MODEL' names it; averaged over positions.",
    panel="Model", metavar="NAME", shown_default="the last one before the output layer",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LayersConfig(inspection.NetworkConfig, command="visualize layers"):
    """Every option of `visualize layers`."""


@dataclass(frozen=True, kw_only=True)
class FiltersConfig(inspection.NetworkConfig, command="visualize filters"):
    """Every option of `visualize filters`."""

    layer: str | None = inspection.layer_option("the first with weights")
    sheet: Path = common.png_option(default="filters.png")
    top: int = option(64, "Show the N filters with the largest weights.", panel="Output", within="[1, 4096]")
    overwrite: bool = common.OVERWRITE


@dataclass(frozen=True, kw_only=True)
class ActivationsConfig(inspection.NetworkConfig, common.ReadsImages, command="visualize activations"):
    """Every option of `visualize activations`."""

    image: str | None = IMAGE
    layer: str = option(
        ALL_LAYERS, "Layer, by its name in 'dlnotes visualize layers MODEL', or all for one strip per layer.",
        panel="Model", metavar="NAME|all",
    )  # fmt: skip
    sheet: Path = common.png_option(default="activations.png")
    top: int | None = option(
        None, "Show the N units with the largest mean magnitude.", panel="Output", within="[1, 1e6]",
        shown_default="all units; 6 with --layer all",
    )  # fmt: skip
    out: Path | None = option(
        None, "Write the maps of each layer, (C, H, W), to this .npz file.", panel="Output", metavar="FILE.npz",
        ends_in=".npz",
    )  # fmt: skip
    overwrite: bool = common.OVERWRITE


@dataclass(frozen=True, kw_only=True)
class MaximizeConfig(inspection.NetworkConfig, command="visualize maximize"):
    """Every option of `visualize maximize`."""

    size: int | None = option(
        None, "Pixels per side of the optimized images.", panel="Data", within="[1, 4096]",
        shown_default="the network's, at most 128; for feature maps at least 64",
    )  # fmt: skip
    layer: str | None = inspection.layer_option("the output layer, whose units are the classes")
    unit: tuple[str, ...] = UNIT
    steps: int = option(128, "Steps of gradient ascent.", panel="Training", within="[1, 1e6]")
    sheet: Path = common.png_option(default="maximize.png")
    top: int | None = replace(
        TOP, shown_default=f"{DEFAULT_TOP}; {LARGE_TOP} where images have more than 64 pixels per side"
    )
    out: Path | None = option(None, "Save each image in this folder.", panel="Output", metavar="FOLDER")
    overwrite: bool = common.OVERWRITE


@dataclass(frozen=True, kw_only=True)
class DreamConfig(inspection.NetworkConfig, common.ReadsImages, command="visualize dream"):
    """Every option of `visualize dream`."""

    image: str | None = IMAGE
    guide: str | None = option(
        None, "Amplify what resembles this image.", panel="Data", metavar="IMAGE",
        shown_default="whatever the layer finds",
    )  # fmt: skip
    layer: str | None = inspection.layer_option("one at four fifths of the depth")
    model: str = inspection.MODEL_OPTION
    octaves: int = option(5, "Sizes of the image, from coarse to fine.", panel="Training", within="[1, 20]")
    octave_scale: float = option(1.4, "Ratio of one size to the one before.", panel="Training", within="(1, 10]")
    steps: int = option(8, "Steps of gradient ascent in each octave.", panel="Training", within="[1, 1e4]")
    strength: float = option(
        1.5, "Standard deviation of the change of a pixel in a step, of 255.", panel="Training", within="(0, 255]"
    )
    out: Path | None = option(
        None, "Image file to write.", panel="Output", metavar="FILE", shown_default="<name of the image>-dream.png"
    )
    sheet: Path | None = common.png_option("Save a contact sheet in this PNG file.")
    overwrite: bool = common.OVERWRITE


@dataclass(frozen=True, kw_only=True)
class PatchesConfig(inspection.NetworkConfig, data_options.ReadOptions, command="visualize patches"):
    """Every option of `visualize patches`."""

    data: str = IMAGES_DATA
    layer: str | None = inspection.layer_option("the last one whose units see less than an image")
    unit: tuple[str, ...] = UNIT
    gradient: Literal["guided", "deconvnet", "none"] = option(
        "guided", "Show next to each patch the unit's gradient, by guided backpropagation or a deconvnet, or none.",
        panel="Model",
    )  # fmt: skip
    sheet: Path = common.png_option(default="patches.png")
    top: int | None = TOP
    overwrite: bool = common.OVERWRITE


@dataclass(frozen=True, kw_only=True)
class NeighborsConfig(inspection.NetworkConfig, data_options.ReadOptions, command="visualize neighbors"):
    """Every option of `visualize neighbors`."""

    images: tuple[str, ...] = replace(inspection.IMAGES, shown_default="three images of --data")
    data: str = IMAGES_DATA
    layer: str | None = FEATURE_LAYER
    sheet: Path = common.png_option(default="neighbors.png")
    count: int = option(8, "Neighbors of each image.", panel="Output", within="[1, 1000]")
    overwrite: bool = common.OVERWRITE


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig(inspection.NetworkConfig, data_options.ReadOptions, command="visualize embedding"):
    """Every option of `visualize embedding`."""

    data: str = IMAGES_DATA
    layer: str | None = FEATURE_LAYER
    method: Literal["pca", "tsne", "umap"] = option(
        "tsne", "Projection: pca, tsne, or umap (needs the package umap-learn).", panel="Model"
    )
    sheet: Path = common.png_option("Scatter plot to write.", "embedding.png")
    csv: Path | None = option(
        None, "Write file, class and coordinates of each image to this CSV file.", panel="Output", metavar="FILE.csv",
        ends_in=".csv",
    )  # fmt: skip
    out: Path | None = option(
        None, "Write coordinates, features, labels and names to this .npz file.", panel="Output", metavar="FILE.npz",
        ends_in=".npz",
    )  # fmt: skip
    overwrite: bool = common.OVERWRITE
