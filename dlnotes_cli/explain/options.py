"""The options of `dlnotes explain`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import option, option_group, option_like
from dlnotes_cli.training.inspection.options import (
    ImagesArgument,
    InspectedModelArgument,
    InspectionOptions,
    LayerOption,
    SheetOption,
)

CAM_METHODS = ("layercam", "gradcam", "gradcam++", "scorecam")
PREDICTED, TRUE = "predicted", "true"  # values of --class that are no names
DEFAULT_SHEET = Path("explained.png")


@option_group
class MethodOptions(LayerOption):
    """How an answer is explained."""

    method: Literal[
        "layercam", "gradcam", "gradcam++", "scorecam", "saliency", "integrated-gradients", "smoothgrad", "occlusion"
    ] = option(
        "layercam",
        "Class activation maps of a layer: layercam, gradcam, gradcam++, scorecam (slow); gradients of the input: "
        "saliency, integrated-gradients, smoothgrad; or occlusion, which covers one window at a time.",
        panel="Model",
    )
    classes: tuple[str, ...] = option(
        (PREDICTED,),
        "Class to explain: its name, predicted, or true (the name of the image's folder). Repeat the option to "
        "compare several classes.",
        panel="Model", name="--class", metavar="NAME", shown_default="predicted",
    )  # fmt: skip
    layer: str | None = option_like(
        LayerOption, "layer", help="Layer of a class activation map, by its name in 'dlnotes visualize layers MODEL'.",
        shown_default="the last one with feature maps",
    )  # fmt: skip
    window: int | None = option(
        None, "Occlusion: side of the window, in pixels of the network's input.", panel="Model", within="[1, 4096]",
        shown_default="a sixth of the shorter side",
    )  # fmt: skip
    stride: int | None = option(
        None, "Occlusion: pixels from one window to the next.", panel="Model", within="[1, 4096]",
        shown_default="half of --window",
    )  # fmt: skip
    check: bool = option(
        False, "Test each map with deletion and insertion curves against random maps, and with re-initialized "
        "weights.", panel="Output",
    )  # fmt: skip


@option_group
class ExplainOutputOptions(SheetOption):
    """The files that are written."""

    out: Path | None = option(
        None, "Save the heat map on the image, at the image's own size: an image file for one map, else a folder.",
        panel="Output", metavar="FILE|FOLDER",
    )  # fmt: skip
    maps: Path | None = option(
        None, "Save each map as numbers in this folder: a .npy file (h, w) of float32, not resized.", panel="Output",
        metavar="FOLDER",
    )  # fmt: skip
    sheet: Path | None = option_like(
        SheetOption, "sheet", help="Save image, heat map and both together in this PNG file.",
        shown_default=f"{DEFAULT_SHEET}, if nothing else is written",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExplainConfig(
    ExplainOutputOptions, MethodOptions, InspectedModelArgument, ImagesArgument, InspectionOptions,
):  # fmt: skip
    """Every option of `explain`."""

    command: ClassVar[str] = "explain"

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        twice = next((name for name in self.classes if self.classes.count(name) > 1), None)
        if twice is not None:
            raise InputError("--class", f"names '{twice}' twice", "name each class once")
        for name, value in (("--window", self.window), ("--stride", self.stride)):
            if value is not None and self.method != "occlusion":
                raise InputError(name, f"has no effect with --method {self.method}", "drop it, or use occlusion")
        if self.layer is not None and self.method not in CAM_METHODS:
            what = f"has no effect with --method {self.method}, which explains the input itself"
            raise InputError("--layer", what, f"drop it, or use {', '.join(CAM_METHODS)}")

    @property
    def sheet_file(self) -> Path | None:
        """The sheet to write; where no other output is requested, there is a default one."""
        return self.sheet or (None if self.out or self.maps or self.json else DEFAULT_SHEET)
