"""`dlnotes data ...`, `dlnotes runs ...` and `dlnotes doctor`, and their options."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from dlnotes_cli.data import options as data_options
from dlnotes_cli.data.listing import EXTENSIONS, TEXTS
from dlnotes_cli.data.options import check_data_options
from dlnotes_cli.networks.choices import BACKBONES
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.option import REQUIRED, Config, flag, option, options_of
from dlnotes_cli.shell.parse import duration, integers
from dlnotes_cli.shell.show import show
from dlnotes_cli.training import options as training_options
from dlnotes_cli.training.options import complete_models

_TEXT_OPTIONS = ("tokens", "batch_size", "seq_len", "batches")
_IMAGE_OPTIONS = ("samples", "size", "resize", "color", "augment", "variants", "numbers", "out")


@dataclass(frozen=True, kw_only=True)
class DataListConfig(Config):
    """Every option of `data list`."""

    command: ClassVar[str] = "data list"

    data_root: Path | None = data_options.DATA_ROOT


@dataclass(frozen=True, kw_only=True)
class DataInfoConfig(common.ReadsImages):
    """Every option of `data info`."""

    command: ClassVar[str] = "data info"

    data: str = replace(data_options.DATA, is_argument=True)

    data_root: Path | None = data_options.DATA_ROOT

    threads: int | None = common.THREADS


@dataclass(frozen=True, kw_only=True)
class DataPreviewConfig(common.ReadsImages):
    """Every option of `data preview`."""

    command: ClassVar[str] = "data preview"

    data: str = replace(
        data_options.DATA,
        help=f"A folder with a subfolder per class, a text file, or {', '.join(data_options.NAMED_SETS)}.",
        metavar=f"{data_options.IMAGES_METAVAR}|TEXT",
        is_argument=True,
    )

    samples: int | None = option(
        None, "Images to show, drawn in equal numbers from all classes.", panel="Data", within="[1, 64]",
        shown_default="8; --numbers: 1",
    )  # fmt: skip
    size: int | None = replace(data_options.SIZE, shown_default="the images' common size if at most 64, else 128")
    text: str | None = option(None, "Preview this text in place of a file.", panel="Data", metavar="TEXT")
    tokens: Literal["chars", "words"] = option(
        "chars", "Text: a token is a character (chars), or what stands between spaces (words).", panel="Data"
    )
    data_root: Path | None = data_options.DATA_ROOT
    resize: data_options.Resize = data_options.RESIZE
    color: Literal["gray", "rgb"] | None = data_options.COLOR

    augment: str = replace(training_options.AUGMENT, default="standard", unused_with=("numbers",))
    variants: int = option(
        4, "Augmented variants to show of each image.", panel="Training", within="[1, 16]", unused_with=("numbers",)
    )
    batch_size: int = option(
        2, "Text: rows of a batch. The text is cut into N streams that are read in parallel.", panel="Training",
        within="[1, 64]",
    )  # fmt: skip
    seq_len: int = option(
        16, "Text: tokens of a row, which are read one after another.", panel="Training", within="[1, 256]"
    )

    numbers: Literal["bytes", "unit"] | None = option(
        None, "Write each pixel's value into it, without variants: bytes (0 to 255) or unit (0 to 1).",
        panel="Output", implied="bytes", metavar="[bytes|unit]",
    )  # fmt: skip
    out: Path = option(
        Path("preview.png"), "PNG file to write. A text is printed.", panel="Output", metavar="FILE.png",
        ends_in=".png",
    )  # fmt: skip
    batches: int = option(2, "Text: batches to print.", panel="Output", within="[1, 1000]")
    overwrite: bool = common.OVERWRITE

    seed: int = common.SEED

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """Create a config from the options of a command line, which must apply to this kind of data."""
        config = super().from_options(values)
        for name in _IMAGE_OPTIONS if config.reads_text else _TEXT_OPTIONS:
            if name in values:
                where = flag(name, options_of(cls)[name])
                kind, other = ("a text", "images") if config.reads_text else ("images", "a text file, or --text")
                raise InputError(where, f"has no effect on {kind}", f"drop it, or give {other}")
        if config.text is not None and "data" in values:
            raise InputError("--text", f"cannot be combined with {config.data}", "drop one of them")
        check_data_options(config.data, values)
        return config

    @property
    def reads_text(self) -> bool:
        """Whether a text is previewed, and not images."""
        path = user_path(self.data)
        suffix = path.suffix.lower()
        if self.text is not None or self.data in data_options.NAMED_SETS:
            return self.text is not None
        with suppress(OSError, ValueError):  # such as a name that is too long, which its reader reports
            is_other = suffix in data_options.TABLE_SUFFIXES | EXTENSIONS
            return not is_other and (path.is_file() or (suffix in TEXTS and not path.is_dir()))
        return suffix in TEXTS

    @property
    def sample_count(self) -> int:
        """Images to show."""
        return self.samples or (1 if self.numbers else 8)


@dataclass(frozen=True, kw_only=True)
class CacheListConfig(Config):
    """Every option of `data cache list`."""

    command: ClassVar[str] = "data cache list"


@dataclass(frozen=True, kw_only=True)
class CacheClearConfig(Config):
    """Every option of `data cache clear`."""

    command: ClassVar[str] = "data cache clear"

    folder: Path | None = option(
        None, "Clear only the cache of this folder.", panel="Data", is_argument=True, metavar="FOLDER"
    )


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingConfig(Config):
    """Every option of `runs early-stopping`."""

    command: ClassVar[str] = "runs early-stopping"

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
        metavar="FILE.png", ends_in=".png",
    )  # fmt: skip
    overwrite: bool = common.OVERWRITE

    def __post_init__(self) -> None:
        """Validate each option, then that there is a patience."""
        super().__post_init__()
        if not self.patience:
            raise InputError("--patience", "is empty", "give one or more, such as 1,2,3,5,8")


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(Config):
    """Every option of `doctor`."""

    command: ClassVar[str] = "doctor"
    default_size: ClassVar[int] = 224
    default_time_budget: ClassVar[float] = 30.0

    size: int | None = option(
        None, "With --time: pixels per side of an image.", panel="Data", within="[1, 4096]", shown_default="224",
        needs=("time",),
    )  # fmt: skip
    data_root: Path | None = data_options.DATA_ROOT

    batch_size: int = option(
        64, "With --time: images in a batch.", panel="Training", within="[1, 1e5]", needs=("time",)
    )
    time_budget: float | None = option(
        None, "With --time: limit for each device; a batch that exceeds it is extrapolated from fewer images.",
        panel="Training", within="(0, 1e7]", parse=duration, metavar="TIME", shown_default="30s", needs=("time",),
    )  # fmt: skip

    time: str | None = option(
        None, "Time a batch of this network (see transfer --list), and of training its head, on each device.",
        panel="Runtime", metavar="BACKBONE", complete=lambda: list(BACKBONES),
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Validate each option, then the name of the backbone."""
        super().__post_init__()
        if self.time is not None and self.time not in BACKBONES:
            raise unknown_choice(
                "--time", self.time, BACKBONES, "network of torchvision", "list them with dlnotes transfer --list"
            )


@command(
    panel="Manage",
    task="manage.data:list_sets -> SetList",
    also=("data.named_sets:NamedSetInfo",),
    examples=("dlnotes data list", "dlnotes data list --json"),
)
def data_list(config: DataListConfig) -> None:
    """List the named data sets, and where each was found."""


@command(
    panel="Manage",
    task="manage.data:describe_data -> ImagesInfo | TableInfo",
    examples=("dlnotes data info", "dlnotes data info digits --json"),
)
def data_info(config: DataInfoConfig) -> None:
    """Describe a data set: samples per class and split, image sizes, statistics, unreadable files."""


@command(
    panel="Manage",
    task="manage.preview:draw_preview -> PreviewResult",
    also=("manage.preview:preview_text -> TextPreview",),
    examples=(
        "dlnotes data preview",
        "dlnotes data preview digits --augment rotate:20,erase:0.5 --out sheet.png",
        'dlnotes data preview --text "1 2 3 4 5 6 7" --tokens words --seq-len 3',
    ),
)
def data_preview(config: DataPreviewConfig) -> None:
    """Preview augmentation: images of a data set in the first column, augmented variants next to each.

    A training run with the same seed uses the same variants, one per epoch, except for mixup and cutmix.
    Of a text it prints the first batches of char-rnn: row by row the inputs, and the targets one token later.
    """
    from dlnotes_cli.manage.preview import draw_preview, preview_text

    show(preview_text(config) if config.reads_text else draw_preview(config), config)


@command(
    panel="Manage",
    task="manage.data:list_cache -> CacheContent",
    also=("manage.data:CachedFolder",),
    examples=("dlnotes data cache list", "dlnotes data cache list --json"),
)
def cache_list(config: CacheListConfig) -> None:
    """List the image folders whose decoded images or features are cached."""


@command(
    panel="Manage",
    task="manage.data:clear_cache -> CacheContent",
    examples=("dlnotes data cache clear", "dlnotes data cache clear --json"),
)
def cache_clear(config: CacheClearConfig) -> None:
    """Delete cached images and features of one folder or all, and print the space freed. The image files stay."""


@command(
    panel="Manage",
    task="manage.early_stopping:replay_early_stopping -> EarlyStoppingResult",
    also=("manage.early_stopping:ReplayedRun",),
    examples=(
        "dlnotes runs early-stopping runs/digits",
        "dlnotes runs early-stopping runs/digits --patience 1,3 --plot stops.png",
    ),
)
def early_stopping(config: EarlyStoppingConfig) -> None:
    """Replay early stopping on the validations of finished runs: where each patience stops, and which epoch it keeps.

    Train the runs without --patience; a schedule that depends on the length of the run stays that of the whole run.
    """


@command(
    panel="Manage",
    task="manage.doctor:examine -> DoctorReport",
    examples=("dlnotes doctor", "dlnotes doctor --time resnet18 --batch-size 2 --size 64"),
)
def doctor(config: DoctorConfig) -> None:
    """Check this machine: versions, devices, precision, CPU cores, cache and data sets.

    With --time it measures how long a network takes for a batch on each device.
    """
