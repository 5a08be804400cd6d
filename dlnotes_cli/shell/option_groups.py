"""Options that commands of several capabilities share, each declared once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from dlnotes_cli.shell.option import Config, option

Precision = Literal["auto", "fp32", "bf16", "fp16"]
MAX_PIXELS = 178_956_970  # Pillow's limit, above which it refuses an image


OVERWRITE = option(False, "Replace existing output.", panel="Output")


CSV = option(
    None,
    "Write the result as CSV to this file instead of printing a table; - is standard output.",
    panel="Output",
    metavar="FILE|-",
)


def png_option(text: str = "Contact sheet to write.", default: str | None = None, **details: Any) -> Any:
    """The option of a PNG file that a command writes."""
    path = None if default is None else Path(default)
    return option(path, text, panel="Output", metavar="FILE.png", ends_in=".png", **details)


SKIP_BAD = option(False, "Skip unreadable files and report them; otherwise the first one is an error.", panel="Data")
MAX_PIXELS_OPTION = option(MAX_PIXELS, "Refuse images with more pixels than this.", panel="Data", within="[1, 1e12]")


OFFLINE = option(False, "Never download data sets or weights.", panel="Data")


SEED = option(0, "Seed of all random numbers.", panel="Runtime", within="[0, 9e15]")


THREADS = option(
    None, "CPU threads.", panel="Runtime", within="[1, 1024]", shown_default="OMP_NUM_THREADS, else all cores"
)


DEVICE = option("auto", "auto (fastest available), cpu, cuda, cuda:N or mps.", panel="Runtime", metavar="DEVICE")
PRECISION = option(
    "auto",
    "fp32, bf16, fp16 (mixed precision, on CUDA only) or auto: the fastest that is accurate enough.",
    panel="Runtime",
)


@dataclass(frozen=True, kw_only=True)
class OnDevice(Config):
    """The options of a command that computes on a device."""

    is_shared: ClassVar[bool] = True
    threads: int | None = THREADS
    device: str = DEVICE
    precision: Precision = PRECISION


@dataclass(frozen=True, kw_only=True)
class ReadsImages(Config):
    """The options of a command that reads images, or weights that may have to be downloaded."""

    is_shared: ClassVar[bool] = True
    offline: bool = OFFLINE
    skip_bad: bool = SKIP_BAD
    max_pixels: int = MAX_PIXELS_OPTION
