"""Options that commands of several capabilities share, each declared once."""

from pathlib import Path
from typing import Literal

from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.option import DATA, OUTPUT, RUNTIME, Config, option, option_group

MAX_PIXELS = 178_956_970  # Pillow's limit, above which it refuses an image


@option_group
class OutputOptions(Config):
    """How much a command prints, and in which format."""

    json: bool = option(False, "Print the result as one JSON document.", panel=OUTPUT)
    quiet: bool = option(
        False, "Print only the result and errors, without progress; long tables are reduced to totals and paths.",
        panel=OUTPUT, short="-q",
    )  # fmt: skip
    verbose: bool = option(False, "Print more details to standard error.", panel=OUTPUT, short="-v")


@option_group
class OverwriteOption(Config):
    """Whether existing output is replaced."""

    overwrite: bool = option(False, "Replace existing output.", panel=OUTPUT)


@option_group
class CsvOption(Config):
    """Where the result is written as CSV."""

    csv: str | None = option(
        None,
        "Write the result as CSV to this file instead of printing a table; - is standard output.",
        panel=OUTPUT,
        metavar="FILE|-",
    )

    @property
    def csv_file(self) -> Path | None:
        """The file of `--csv`; None without one."""
        return None if self.csv is None or self.csv_to_stdout else user_path(self.csv)

    @property
    def csv_to_stdout(self) -> bool:
        """Whether `--csv` is standard output."""
        return self.csv == "-"


@option_group
class ReadImagesOptions(Config):
    """How image files are read."""

    skip_bad: bool = option(
        False, "Skip unreadable files and report them; otherwise the first one is an error.", panel=DATA
    )
    max_pixels: int = option(MAX_PIXELS, "Refuse images with more pixels than this.", panel=DATA, within="[1, 1e12]")


@option_group
class OfflineOption(Config):
    """Whether files may be downloaded."""

    offline: bool = option(False, "Never download data sets or weights.", panel=DATA)


@option_group
class SeedOption(Config):
    """The seed of a command."""

    seed: int = option(0, "Seed of all random numbers.", panel=RUNTIME, within="[0, 9e15]")


@option_group
class ThreadsOption(Config):
    """How many processor threads a command uses."""

    threads: int | None = option(
        None, "CPU threads.", panel=RUNTIME, within="[1, 1024]", shown_default="OMP_NUM_THREADS, else all cores"
    )

    @property
    def thread_count(self) -> int:
        """The number of threads, by default OMP_NUM_THREADS or one per core."""
        return self.threads or default_threads()


@option_group
class DeviceOptions(ThreadsOption):
    """Where, and in which precision, a command computes."""

    device: str = option("auto", "auto (fastest available), cpu, cuda, cuda:N or mps.", panel=RUNTIME, metavar="DEVICE")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "auto",
        "fp32, bf16 or fp16 (mixed precision; fp16 on CUDA only), or auto: bf16 where the hardware makes it faster, "
        "and fp16 for training on CUDA devices without bf16.",
        panel=RUNTIME,
    )
