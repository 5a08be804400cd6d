"""The options of `dlnotes serve`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.inference import options as inference_options
from dlnotes_cli.inference.options import PixelScaling
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.option import option
from dlnotes_cli.training import options as training_options
from dlnotes_cli.training.options import CourseArch


@dataclass(frozen=True, kw_only=True)
class ServeConfig(common.OnDevice):
    """Every option of `serve`."""

    command: ClassVar[str] = "serve"

    model: Path = inference_options.MODEL
    # Data
    max_upload: int = option(
        32, "Refuse requests of more than this many megabytes.", panel="Data", within="[1, 4096]", metavar="MB"
    )
    max_pixels: int = common.MAX_PIXELS_OPTION
    size: int | None = inference_options.SIZE
    normalize: PixelScaling | None = inference_options.NORMALIZE
    classes: Path | None = inference_options.CLASSES
    # Model
    arch: CourseArch | None = training_options.ARCH
    tta: bool = inference_options.TTA
    # Output
    top: int = inference_options.TOP
    # Runtime
    host: str = option(
        "127.0.0.1", "Address to listen on; with 0.0.0.0 every machine in the network can send requests.",
        panel="Runtime", metavar="ADDRESS",
    )  # fmt: skip
    port: int = option(8000, "Port to listen on; 0 is a free one.", panel="Runtime", within="[0, 65535]")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = inference_options.PRECISION
