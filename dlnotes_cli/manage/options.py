"""The options of `dlnotes data ...` and `dlnotes doctor`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from dlnotes_cli.data.options import (
    IMAGES_HELP,
    IMAGES_METAVAR,
    NAMED_SETS,
    TABLE_SUFFIXES,
    DataOption,
    DataRootOption,
    ImageShapeOptions,
    SourceOptions,
    check_data_options,
)
from dlnotes_cli.data.walk import EXTENSIONS, TEXTS
from dlnotes_cli.models.choices import BACKBONES
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import check_png, user_path
from dlnotes_cli.shell.option import (
    REQUIRED,
    Config,
    flag,
    option,
    option_group,
    option_like,
    options_of,
)
from dlnotes_cli.shell.option_groups import OutputOptions, OverwriteOption, SeedOption, ThreadsOption
from dlnotes_cli.shell.parse import integers
from dlnotes_cli.training.options import AugmentOption, TimeBudgetOption, complete_models


@dataclass(frozen=True, kw_only=True)
class DataListConfig(OutputOptions, DataRootOption):
    """Every option of `data list`."""

    command: ClassVar[str] = "data list"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # such as a name that is too long, which its reader reports
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # as above
        return False


@option_group
class DataArgument(DataOption):
    """The data set that is described."""

    data: str = option_like(DataOption, "data", is_argument=True)


@dataclass(frozen=True, kw_only=True)
class DataInfoConfig(OutputOptions, ThreadsOption, SourceOptions, DataArgument):
    """Every option of `data info`."""

    command: ClassVar[str] = "data info"


@option_group
class PreviewOptions(Config):
    """The options of `data preview` only."""

    data: str = option_like(
        DataOption, "data", help=f"{IMAGES_HELP} Or a text file.", metavar=f"{IMAGES_METAVAR}|TEXT", is_argument=True
    )
    samples: int | None = option(
        None, "Images to show, drawn in equal numbers from all classes.", panel="Data", within="[1, 64]",
        shown_default="8; --numbers: 1",
    )  # fmt: skip
    size: int | None = option_like(
        ImageShapeOptions, "size", shown_default="the images' common size if at most 64, else 128"
    )
    augment: str = option_like(AugmentOption, "augment", default="standard", shown_default=None)
    variants: int = option(4, "Augmented variants to show of each image.", panel="Training", within="[1, 16]")
    numbers: Literal["bytes", "unit"] | None = option(
        None, "Write the value of each pixel into it, and draw no variants: bytes (0 to 255) or unit (0 to 1, what a "
        "tensor has); without a value bytes.", panel="Output", implied="bytes", metavar="[bytes|unit]",
    )  # fmt: skip
    out: Path = option(Path("preview.png"), "PNG file to write. A text is printed.", panel="Output", metavar="FILE.png")


@option_group
class TextPreviewOptions(Config):
    """How a text is cut into batches."""

    text: str | None = option(None, "Preview this text in place of a file.", panel="Data", metavar="TEXT")
    tokens: Literal["chars", "words"] = option(
        "chars", "Text: a token is a character (chars), or what stands between spaces (words).", panel="Data"
    )
    batch_size: int = option(
        2, "Text: rows of a batch. The text is cut into N streams that are read in parallel.", panel="Training",
        within="[1, 64]",
    )  # fmt: skip
    seq_len: int = option(
        16, "Text: tokens of a row, which are read one after another.", panel="Training", within="[1, 256]"
    )
    batches: int = option(2, "Text: batches to print.", panel="Output", within="[1, 1000]")


_TEXT_OPTIONS = ("tokens", "batch_size", "seq_len", "batches")
_IMAGE_OPTIONS = ("samples", "size", "resize", "color", "augment", "variants", "numbers", "out")


@dataclass(frozen=True, kw_only=True)
class DataPreviewConfig(
    OutputOptions, OverwriteOption, SeedOption, TextPreviewOptions, PreviewOptions, ImageShapeOptions, SourceOptions
):
    """Every option of `data preview`."""

    command: ClassVar[str] = "data preview"

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """Create a config from the options of a command line, which must apply to this kind of data."""
        config = super().from_options(values)
        options = options_of(cls)
        for name in _IMAGE_OPTIONS if config.reads_text else _TEXT_OPTIONS:
            if name in values:
                where = flag(name, options[name])
                kind, other = ("a text", "images") if config.reads_text else ("images", "a text file, or --text")
                raise InputError(where, f"has no effect on {kind}", f"drop it, or give {other}")
        if config.text is not None and "data" in values:
            raise InputError("--text", f"cannot be combined with {config.data}", "drop one of them")
        if config.numbers is not None and (unused := next((n for n in ("augment", "variants") if n in values), None)):
            raise InputError(
                f"--{unused}", "has no effect with --numbers, which draws the originals", "drop one of them"
            )
        check_data_options(config.data, values)
        return config

    def __post_init__(self) -> None:
        """Validate each option, then the name of the output file."""
        super().__post_init__()
        check_png("--out", self.out)

    @property
    def reads_text(self) -> bool:
        """Whether a text is previewed, and not images."""
        path = user_path(self.data)
        if self.text is not None or self.data in NAMED_SETS or path.suffix.lower() in TABLE_SUFFIXES | EXTENSIONS:
            return self.text is not None
        return _is_file(path) or (path.suffix.lower() in TEXTS and not _is_folder(path))

    @property
    def sample_count(self) -> int:
        """Images to show."""
        return self.samples or (1 if self.numbers else 8)


@dataclass(frozen=True, kw_only=True)
class CacheListConfig(OutputOptions):
    """Every option of `data cache list`."""

    command: ClassVar[str] = "data cache list"


@option_group
class CacheArgument(Config):
    """The folder whose cache is deleted."""

    folder: Path | None = option(
        None, "Clear only the cache of this folder.", panel="Data", is_argument=True, metavar="FOLDER"
    )


@dataclass(frozen=True, kw_only=True)
class CacheClearConfig(OutputOptions, CacheArgument):
    """Every option of `data cache clear`."""

    command: ClassVar[str] = "data cache clear"


@option_group
class TimingOptions(Config):
    """The batch that `doctor` times."""

    time: str | None = option(
        None, "Time this network of torchvision (transfer --list lists them, after small) on every device: seconds for "
        "a batch, predicting and training a head.", panel="Runtime", metavar="BACKBONE",
        complete=lambda: list(BACKBONES),
    )  # fmt: skip
    batch_size: int = option(64, "With --time: images in a batch.", panel="Training", within="[1, 1e5]")
    size: int | None = option_like(
        ImageShapeOptions, "size", help="With --time: pixels per side of an image.", shown_default="224"
    )
    time_budget: float | None = option_like(
        TimeBudgetOption,
        "time_budget",
        help="With --time: limit for each device: 90s, 5m, 1h or seconds. A batch that would exceed it is extrapolated "
        "from fewer images.",
        shown_default="30s",
    )


@option_group
class EarlyStoppingOptions(Config):
    """Whose early stopping is replayed, and how."""

    runs: tuple[Path, ...] = option(
        REQUIRED, "Run folders, or metrics.jsonl files.", panel="Data", is_argument=True, metavar="RUN...",
        complete=complete_models,
    )  # fmt: skip
    patience: tuple[int, ...] = option(
        (1, 2, 3, 5, 8), "Validations in a row without improvement after which training stops, as in the training.",
        panel="Training", parse=integers, within="[1, 1e6]", metavar="N,…",
    )  # fmt: skip
    monitor: Literal["loss", "accuracy", "macro-f1"] = option(
        "loss", "Metric of the validations: loss, accuracy or macro-f1.", panel="Training"
    )
    plot: Path | None = option(
        None, "Plot the validations, with what each patience keeps and where it stops.", panel="Output",
        metavar="FILE.png",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingConfig(OutputOptions, OverwriteOption, EarlyStoppingOptions):
    """Every option of `runs early-stopping`."""

    command: ClassVar[str] = "runs early-stopping"

    def __post_init__(self) -> None:
        """Validate each option, then that there is a patience, and the name of the plot."""
        super().__post_init__()
        if not self.patience:
            raise InputError("--patience", "is empty", "give one or more, such as 1,2,3,5,8")
        if self.plot is not None:
            check_png("--plot", self.plot)


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(OutputOptions, TimingOptions, DataRootOption):
    """Every option of `doctor`."""

    command: ClassVar[str] = "doctor"
    default_size: ClassVar[int] = 224
    default_time_budget: ClassVar[float] = 30.0

    def __post_init__(self) -> None:
        """Validate each option, then the name of the backbone."""
        super().__post_init__()
        if self.time is not None and self.time not in BACKBONES:
            raise unknown_choice(
                "--time", self.time, BACKBONES, "network of torchvision", "list them with dlnotes transfer --list"
            )

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """Create a config from the options of a command line, which must apply to what is asked."""
        config = super().from_options(values)
        for name in ("batch_size", "size", "time_budget"):
            if name in values and config.time is None:
                raise InputError(
                    flag(name, options_of(cls)[name]), "has no effect without --time", "add --time resnet18"
                )
        return config
