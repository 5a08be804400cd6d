"""The options of `dlnotes series train`, `forecast` and `backtest`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dlnotes_cli.data.series.choices import GENERATED_SETS, Fill, Scaling
from dlnotes_cli.models.choices import CellType
from dlnotes_cli.series.recipes import BEST, NOTES, Mode, SeriesRecipe
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import check_png
from dlnotes_cli.shell.option import (
    STDOUT_TWICE,
    Config,
    Range,
    check_at_most_one,
    option,
    option_group,
    option_like,
)
from dlnotes_cli.shell.option_groups import CsvOption, DeviceOptions, OutputOptions, OverwriteOption
from dlnotes_cli.shell.parse import count_or_auto, items
from dlnotes_cli.training.options import DropoutOption, LearningOptions, ModelArgument, TrainingRunOptions
from dlnotes_cli.training.recipes import resolve


@option_group
class SortOption(Config):
    """Whether rows may be in any order."""

    sort: bool = option(
        False, "Sort the rows of each group by time; otherwise times out of order are refused.", panel="Data"
    )


@option_group
class SeriesDataOptions(SortOption):
    """Which columns of a table are read, and how."""

    data: str = option(
        "sine",
        "CSV file, - for standard input, or a generated set: sine (the course's) or trend-season (hourly, with a daily "
        "and a weekly season, and noise).",
        panel="Data",
        metavar="FILE|NAME",
        complete=lambda: list(GENERATED_SETS),
    )
    column: str | None = option(None, "Column to forecast.", panel="Data", metavar="NAME")
    time: str | None = option(
        None, "Column of times: ISO 8601 dates, numbers, or seconds since 1970; without it, rows are equally spaced.",
        panel="Data", metavar="NAME",
    )  # fmt: skip
    group: str | None = option(
        None, "Column that names the series of a row; all series share one network.", panel="Data", metavar="NAME"
    )
    inputs: tuple[str, ...] = option(
        (),
        "More columns that the network reads, whose future is unknown.",
        panel="Data",
        parse=items,
        metavar="NAME,...",
    )
    known_inputs: tuple[str, ...] = option(
        (), "More columns that the network reads, whose future is known, such as holidays or prices.",
        panel="Data", parse=items, metavar="NAME,...",
    )  # fmt: skip
    calendar: bool = option(
        False, "Add the hour of the day, the day of the week and of the year, as sines and cosines.", panel="Data"
    )
    fill: Fill = option(
        "refuse",
        "Missing values and gaps in time: refuse, linear (interpolate), forward (repeat the value before), or skip (no "
        "window contains one).",
        panel="Data",
    )
    season: int = option(
        0, "Rows in a season, 1 for none, or auto (or 0): found by autocorrelation.", panel="Data",
        within="[0, 1e6]", parse=count_or_auto, metavar="N|auto", shown_default="auto",
    )  # fmt: skip
    val_split: float | None = option(
        None,
        "Fraction of the rows of each series, at its end, to hold out for validation.",
        panel="Data",
        within="(0, 1)",
    )
    normalize: Scaling | None = option(
        None,
        "Scale of each series, from its training rows: standard (mean 0, deviation 1), minmax (0 to 1) or none.",
        panel="Data",
    )


@option_group
class SeriesNetworkOptions(Config):
    """The network."""

    cell: CellType | None = option(None, "Recurrent cell", panel="Model")
    hidden: int | None = option(
        None, "Hidden size of each layer.", panel="Model", within="[1, 1e5]", name="--hidden-size", short="--hidden"
    )
    layers: int | None = option(
        None, "Recurrent layers.", panel="Model", within="[1, 64]", name="--num-layers", short="--layers"
    )
    dropout: float | None = option_like(DropoutOption, "dropout", help="Dropout probability of the last hidden state.")
    window: int | None = option(
        None, "Rows that a forecast is made from; auto (or 0): two seasons.", panel="Model",
        within="[0, 1e5]", parse=count_or_auto, metavar="N|auto",
    )  # fmt: skip
    horizon: int | None = option(
        None, "Rows to forecast; auto (or 0): a season, at most 24.", panel="Model",
        within="[0, 1e4]", parse=count_or_auto, metavar="N|auto",
    )  # fmt: skip
    mode: Mode | None = option(
        None,
        "direct: all steps of the horizon at once; free: one step ahead, fed back (free-running).",
        panel="Training",
    )


@option_group
class SeriesLearningOptions(LearningOptions):
    """How the network is trained."""

    batch_size: int | None = option_like(  # `auto` measures only classifiers
        LearningOptions, "batch_size", help="Windows per step.", within=Range("[1, 1e6]"), parse=None
    )
    epochs: int | None = option_like(
        LearningOptions, "epochs", help="Passes over the training windows, of which an epoch has at most 16,384."
    )


@option_group
class IntervalOption(Config):
    """The prediction interval."""

    interval: float = option(0.8, "Probability of the prediction interval.", panel="Output", within="(0, 1)")


@dataclass(frozen=True, kw_only=True)
class SeriesTrainConfig(
    OutputOptions, SeriesLearningOptions, TrainingRunOptions, IntervalOption, SeriesNetworkOptions,
    SeriesDataOptions,
):  # fmt: skip
    """Every option of `series train`."""

    command: ClassVar[str] = "series train"
    recipes: ClassVar[Mapping[str, object]] = {"": BEST, "notes": NOTES}

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        if self.calendar and self.time is None and self.data not in GENERATED_SETS:
            raise InputError("--calendar", "needs times", "name their column with --time")
        if self.data == "-" and self.devices > 1:
            raise InputError("--devices", "only one process can read standard input", "save the series to a file")
        if self.recipe == "notes" and self.mode == "direct":
            raise InputError("--mode", "the recipe notes trains one step ahead", "drop --mode, or use --recipe best")
        if self.resolved().mode == "free" and self.inputs:
            what = "has no effect on a forecast that is fed back, as the inputs of later steps are unknown"
            raise InputError("--inputs", what, "use --mode direct, or --known-inputs for columns whose future is known")

    def resolved(self) -> SeriesRecipe:
        """The recipe of the run, in which options that are set replace values."""
        return resolve(self, NOTES if self.recipe == "notes" else BEST)


@option_group
class NewerDataOptions(SortOption):
    """What is forecast from."""

    data: str | None = option(
        None, "CSV file with the columns of the training, or - for standard input.", panel="Data", metavar="FILE",
        shown_default="the end of the training data",
    )  # fmt: skip
    fill: Fill | None = option_like(SeriesDataOptions, "fill", default=None, shown_default="that of the training")
    horizon: int | None = option(
        None, "Rows to forecast.", panel="Model", within="[1, 1e5]", shown_default="that of the training"
    )
    plot: Path | None = option(None, "Plot the result to this PNG file.", panel="Output", metavar="FILE.png")


@dataclass(frozen=True, kw_only=True)
class SeriesForecastConfig(
    OutputOptions, OverwriteOption, CsvOption, DeviceOptions, IntervalOption, NewerDataOptions, ModelArgument
):
    """Every option of `series forecast`."""

    command: ClassVar[str] = "series forecast"

    def __post_init__(self) -> None:
        """Validate each option, then the name of the plot and what standard output is used for."""
        super().__post_init__()
        if self.plot is not None:
            check_png("--plot", self.plot)
        check_at_most_one({"--json": self.json, "--csv -": self.csv_to_stdout}, STDOUT_TWICE)


@dataclass(frozen=True, kw_only=True)
class SeriesBacktestConfig(OutputOptions, OverwriteOption, CsvOption, DeviceOptions, NewerDataOptions, ModelArgument):
    """Every option of `series backtest`."""

    command: ClassVar[str] = "series backtest"

    folds: int = option(5, "Forecasts, from origins that are one horizon apart.", panel="Training", within="[1, 1e5]")

    def __post_init__(self) -> None:
        """Validate each option, then the name of the plot and what standard output is used for."""
        super().__post_init__()
        if self.plot is not None:
            check_png("--plot", self.plot)
        check_at_most_one({"--json": self.json, "--csv -": self.csv_to_stdout}, STDOUT_TWICE)
