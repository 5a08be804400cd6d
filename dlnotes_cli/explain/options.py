"""`dlnotes explain` and its options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dlnotes_cli.inference import inspection_options as inspection
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import option

CAM_METHODS = ("layercam", "gradcam", "gradcam++", "scorecam")
PIXEL_METHODS = ("saliency", "integrated-gradients", "smoothgrad")  # whose maps are single pixels next to each other
PREDICTED, TRUE = "predicted", "true"  # values of --class that are no names
DEFAULT_SHEET = "explained.png"


@dataclass(frozen=True, kw_only=True)
class ExplainConfig(inspection.NetworkConfig, common.ReadsImages, command="explain"):
    """Every option of `explain`."""

    images: tuple[str, ...] = inspection.IMAGES
    layer: str | None = inspection.layer_option(
        "the last one with feature maps",
        unused_with=("method=saliency|integrated-gradients|smoothgrad|occlusion",),
    )
    method: Literal[
        "layercam", "gradcam", "gradcam++", "scorecam", "saliency", "integrated-gradients", "smoothgrad", "occlusion"
    ] = option(
        "layercam",
        "Class activation maps (the first four), gradients of the input, or occlusion by a window.",
        panel="Model",
    )
    classes: tuple[str, ...] = option(
        (PREDICTED,), "Class: its name, predicted, or true (the image's folder). Repeat the option to compare several.",
        panel="Model", name="--class", metavar="NAME", shown_default="predicted",
    )  # fmt: skip
    window: int | None = option(
        None, "Occlusion: side of the window, in pixels of the network's input.", panel="Model", within="[1, 4096]",
        shown_default="a sixth of the shorter side", needs=("method=occlusion",),
    )  # fmt: skip
    stride: int | None = option(
        None, "Occlusion: pixels from one window to the next.", panel="Model", within="[1, 4096]",
        shown_default="half of --window", needs=("method=occlusion",),
    )  # fmt: skip
    check: bool = option(
        False, "Test each map: deletion, insertion, and the map of re-initialized weights.", panel="Output"
    )
    sheet: Path | None = common.png_option(
        "Save image, heat map and both together in this PNG file.",
        shown_default=f"{DEFAULT_SHEET}, if nothing else is written",
    )  # fmt: skip
    out: Path | None = option(
        None, "Save the heat map on the image, at the image's own size: an image file for one map, else a folder.",
        panel="Output", metavar="FILE|FOLDER",
    )  # fmt: skip
    maps: Path | None = option(
        None, "Save each map as numbers in this folder: a .npy file (h, w) of float32, not resized.", panel="Output",
        metavar="FOLDER",
    )  # fmt: skip
    overwrite: bool = common.OVERWRITE

    def __post_init__(self) -> None:
        """Validate each option, then the classes."""
        super().__post_init__()
        twice = next((name for name in self.classes if self.classes.count(name) > 1), None)
        if twice is not None:
            raise InputError("--class", f"names '{twice}' twice", "name each class once")

    @property
    def sheet_file(self) -> Path | None:
        """The sheet to write; where no other output is requested, there is a default one."""
        return self.sheet or (None if self.out or self.maps or self.json else Path(DEFAULT_SHEET))


@command(
    panel="Understand",
    task="explain.explain:explain_images -> ExplainResult",
    also=("explain.explain:Explanation",),
    examples=(
        "dlnotes explain --check --overwrite",
        "dlnotes explain small --method occlusion --class bird --sheet covered.png",
    ),
)
def explain(config: ExplainConfig) -> None:
    """Show which pixels a classifier's prediction depends on: heat maps by CAM methods, gradients or occlusion.

    Without a model, it explains the bundled network `small` (CIFAR-10 classes) on an image from scikit-learn.
    """
