"""Options that commands of several capabilities share, each declared once."""

from pathlib import Path
from typing import Literal

from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.option import Config, option, option_group

Precision = Literal["auto", "fp32", "bf16", "fp16"]
MAX_PIXELS = 178_956_970  # Pillow's limit, above which it refuses an image


JSON = option(False, "Print the result as one JSON document.", panel="Output", conflicts=("csv=-",))
QUIET = option(
    False, "Print only the result and errors, without progress; long tables are reduced to totals and paths.",
    panel="Output", short="-q",
)  # fmt: skip
VERBOSE = option(False, "Print more details to standard error.", panel="Output", short="-v")


@option_group
class OutputOptions(Config):
    """How much a command prints, and in which format."""

    json: bool = JSON
    quiet: bool = QUIET
    verbose: bool = VERBOSE


OVERWRITE = option(False, "Replace existing output.", panel="Output")


@option_group
class OverwriteOption(Config):
    """Whether existing output is replaced."""

    overwrite: bool = OVERWRITE


CSV = option(
    None,
    "Write the result as CSV to this file instead of printing a table; - is standard output.",
    panel="Output",
    metavar="FILE|-",
)


@option_group
class CsvOption(Config):
    """Where the result is written as CSV."""

    csv: str | None = CSV

    @property
    def csv_file(self) -> Path | None:
        """The file of `--csv`; None without one."""
        return None if self.csv is None or self.csv_to_stdout else user_path(self.csv)

    @property
    def csv_to_stdout(self) -> bool:
        """Whether `--csv` is standard output."""
        return self.csv == "-"


SKIP_BAD = option(False, "Skip unreadable files and report them; otherwise the first one is an error.", panel="Data")
MAX_PIXELS_OPTION = option(MAX_PIXELS, "Refuse images with more pixels than this.", panel="Data", within="[1, 1e12]")


@option_group
class ReadImagesOptions(Config):
    """How image files are read."""

    skip_bad: bool = SKIP_BAD
    max_pixels: int = MAX_PIXELS_OPTION


OFFLINE = option(False, "Never download data sets or weights.", panel="Data")


@option_group
class OfflineOption(Config):
    """Whether files may be downloaded."""

    offline: bool = OFFLINE


SEED = option(0, "Seed of all random numbers.", panel="Runtime", within="[0, 9e15]")


@option_group
class SeedOption(Config):
    """The seed of a command."""

    seed: int = SEED


THREADS = option(
    None, "CPU threads.", panel="Runtime", within="[1, 1024]", shown_default="OMP_NUM_THREADS, else all cores"
)


@option_group
class ThreadsOption(Config):
    """How many processor threads a command uses."""

    threads: int | None = THREADS

    @property
    def thread_count(self) -> int:
        """The number of threads, by default OMP_NUM_THREADS or one per core."""
        return self.threads or default_threads()


DEVICE = option("auto", "auto (fastest available), cpu, cuda, cuda:N or mps.", panel="Runtime", metavar="DEVICE")
PRECISION = option(
    "auto",
    "fp32, bf16 or fp16 (mixed precision; fp16 on CUDA only), or auto: bf16 where the hardware makes it faster, "
    "and fp16 for training on CUDA devices without bf16.",
    panel="Runtime",
)


@option_group
class DeviceOptions(ThreadsOption):
    """Where, and in which precision, a command computes."""

    device: str = DEVICE
    precision: Precision = PRECISION
