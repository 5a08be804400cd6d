"""The options of `dlnotes data ...` and `dlnotes doctor`."""

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
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.option import Config, flag, option, options_of
from dlnotes_cli.shell.parse import duration
from dlnotes_cli.training import options as training_options

_TEXT_OPTIONS = ("tokens", "batch_size", "seq_len", "batches")
_IMAGE_OPTIONS = ("samples", "size", "resize", "color", "augment", "variants", "numbers", "out")


@dataclass(frozen=True, kw_only=True)
class DataListConfig(Config, command="data list"):
    """Every option of `data list`."""

    data_root: Path | None = data_options.DATA_ROOT


@dataclass(frozen=True, kw_only=True)
class DataInfoConfig(data_options.ListsImages, data_options.ReadOptions, command="data info"):
    """Every option of `data info`."""

    data: str = replace(data_options.DATA, is_argument=True)

    threads: int | None = common.THREADS


@dataclass(frozen=True, kw_only=True)
class DataPreviewConfig(data_options.ReadOptions, command="data preview"):
    """Every option of `data preview`."""

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
    out: Path = common.png_option("PNG file to write. A text is printed.", "preview.png")
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
class CacheListConfig(Config, command="data cache list"):
    """Every option of `data cache list`."""


@dataclass(frozen=True, kw_only=True)
class CacheClearConfig(Config, command="data cache clear"):
    """Every option of `data cache clear`."""

    folder: Path | None = option(
        None, "Clear only the cache of this folder.", panel="Data", is_argument=True, metavar="FOLDER"
    )


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(Config, command="doctor"):
    """Every option of `doctor`."""

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
