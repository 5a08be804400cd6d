"""Options that small commands share with large ones, apart from `groups`, which takes long to load."""

from dataclasses import dataclass
from typing import Literal

from dlnotes_cli.shell.option import DATA, DEVICE, OUTPUT, Config, option

MAX_PIXELS = 178_956_970  # Pillow's own limit for refusing an image


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Config):
    """How much is said, and in which form."""

    json: bool = option(False, "Print the result as one JSON document.", group=OUTPUT, names=("--json",))
    quiet: bool = option(False, "Silence all but errors.", group=OUTPUT, names=("--quiet", "-q"))
    verbose: bool = option(False, "Say more.", group=OUTPUT, names=("--verbose", "-v"))


@dataclass(frozen=True, kw_only=True)
class ReadImagesOptions(Config):
    """How image files are read."""

    skip_bad: bool = option(
        False, "Go on without unreadable files; name and count them.", group=DATA, names=("--skip-bad",)
    )
    max_pixels: int = option(MAX_PIXELS, "Refuse images with more pixels than this.", group=DATA, within="[1, 1e12]")


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(Config):
    """Where and how the arithmetic runs."""

    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps; auto takes the fastest there is.", group=DEVICE)
    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto", "fp32, bf16, or auto: bf16 where the processor has it in hardware and it pays.", group=DEVICE
    )
    threads: int | None = option(
        None, "Processor threads.", group=DEVICE, within="[1, 1024]", shown_default="OMP_NUM_THREADS, else all cores"
    )
