"""The options of `dlnotes series train`, `forecast` and `backtest`, and the recipes of `series train`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.data.options import SERIES_SETS, Fill, Scaling
from dlnotes_cli.networks.choices import CellType
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.option import option
from dlnotes_cli.shell.parse import count_or_auto, items
from dlnotes_cli.training import options as training
from dlnotes_cli.training.recipes import LengthDefaults, Recipe, resolve

Mode = Literal["direct", "free"]
AUTO = 0  # of a window or horizon: chosen from the season


@dataclass(frozen=True, kw_only=True)
class SeriesRecipe(Recipe):
    """What training a forecasting network decides as well."""

    cell: CellType
    hidden: int
    layers: int
    dropout: float
    window: int
    horizon: int
    mode: Mode
    normalize: Scaling
    val_split: float
    skip: bool  # add the last value and a linear map of the window; not an option of the command
    eval_every: int | None = None  # steps; None: once per epoch; not an option of the command
    is_carried: bool  # read the series in order, with the hidden state carried over; not an option of the command


BEST = SeriesRecipe(
    optimizer="adamw", lr=3e-3, momentum=0.9, schedule="one-cycle", weight_decay=0.05, ema=0.0, grad_clip=1.0,
    cell="gru", hidden=64, layers=1, dropout=0.0, window=AUTO, horizon=AUTO, mode="direct", normalize="standard",
    val_split=0.2, skip=True, is_carried=False,
    length=LengthDefaults(epochs=4, batch_size=64, min_steps=500),
)  # fmt: skip
# The course's notebook: a sine in 75 consecutive windows, each of one step of Adam.
NOTES = SeriesRecipe(
    optimizer="adam", lr=1e-2, momentum=0.0, schedule="constant", weight_decay=0.0, ema=0.0, grad_clip=0.0,
    cell="rnn", hidden=32, layers=1, dropout=0.0, window=20, horizon=20, mode="free", normalize="none",
    val_split=0.25, skip=False, is_carried=True, eval_every=15,
    length=LengthDefaults(epochs=1, batch_size=1, is_fixed=True),
)  # fmt: skip

FILL = option(
    "refuse", "Missing values and gaps: refuse, linear (interpolate), forward (repeat), skip (no window has one).",
    panel="Data",
)  # fmt: skip
SORT = option(False, "Sort the rows of each group by time; otherwise times out of order are refused.", panel="Data")
INTERVAL = option(0.8, "Probability of the prediction interval.", panel="Output", within="(0, 1)")


@dataclass(frozen=True, kw_only=True)
class SeriesTrainConfig(training.TrainingConfig, command="series train"):
    """Every option of `series train`."""

    recipes: ClassVar[Mapping[str, object]] = {"": BEST, "notes": NOTES}

    # Data
    data: str = option(
        "sine", "CSV file, - for standard input, or a generated set: sine or trend-season.", panel="Data",
        metavar="FILE|NAME", complete=lambda: list(SERIES_SETS),
    )  # fmt: skip
    column: str | None = option(None, "Column to forecast.", panel="Data", metavar="NAME")
    time: str | None = option(
        None, "Column of times: ISO 8601 dates, numbers, or seconds since 1970.", panel="Data", metavar="NAME",
        shown_default="rows are equally spaced",
    )  # fmt: skip
    group: str | None = option(
        None, "Column that names the series of a row; all series share one network.", panel="Data", metavar="NAME"
    )
    inputs: tuple[str, ...] = option(
        (), "More columns that the network reads, whose future is unknown.", panel="Data", parse=items,
        metavar="NAME,...", unused_with=("mode=free", "recipe=notes"),
    )  # fmt: skip
    known_inputs: tuple[str, ...] = option(
        (), "More columns that the network reads, whose future is known, such as holidays or prices.",
        panel="Data", parse=items, metavar="NAME,...",
    )  # fmt: skip
    calendar: bool = option(
        False, "Add the hour of the day, the day of the week and of the year, as sines and cosines.", panel="Data",
        needs=("time", f"data={'|'.join(SERIES_SETS)}"),
    )  # fmt: skip
    fill: Fill = FILL
    sort: bool = SORT
    season: int = option(
        0, "Rows in a season, 1 for none, or auto (or 0): found by autocorrelation.", panel="Data",
        within="[0, 1e6]", parse=count_or_auto, metavar="N|auto", shown_default="auto",
    )  # fmt: skip
    val_split: float | None = option(
        None, "Fraction of the rows of each series, at its end, to hold out for validation.", panel="Data",
        within="(0, 1)",
    )  # fmt: skip
    normalize: Scaling | None = option(
        None, "Scale of each series: standard (mean 0, deviation 1), minmax (0 to 1) or none.", panel="Data"
    )
    # Model
    cell: CellType | None = option(None, "Recurrent cell", panel="Model")
    hidden: int | None = option(
        None, "Hidden size of each layer.", panel="Model", within="[1, 1e5]", name="--hidden-size", short="--hidden"
    )
    layers: int | None = option(
        None, "Recurrent layers.", panel="Model", within="[1, 64]", name="--num-layers", short="--layers"
    )
    dropout: float | None = replace(training.DROPOUT, help="Dropout probability of the last hidden state.")
    window: int | None = option(
        None, "Rows that a forecast is made from; auto (or 0): two seasons.", panel="Model",
        within="[0, 1e5]", parse=count_or_auto, metavar="N|auto",
    )  # fmt: skip
    horizon: int | None = option(
        None, "Rows to forecast; auto (or 0): a season, at most 24.", panel="Model",
        within="[0, 1e4]", parse=count_or_auto, metavar="N|auto",
    )  # fmt: skip
    # Training
    recipe: Literal["best", "notes"] = replace(training.RECIPE, conflicts=("mode=direct",))
    mode: Mode | None = option(
        None, "direct: all steps of the horizon at once; free: one step ahead, fed back (free-running).",
        panel="Training",
    )  # fmt: skip
    epochs: int | None = replace(
        training.EPOCHS, help="Passes over the training windows, of which an epoch has at most 16,384."
    )
    batch_size: int | None = option(None, "Windows per step.", panel="Training", within="[1, 1e6]")
    # Output
    interval: float = INTERVAL
    # Runtime
    devices: int = replace(training.DEVICES, conflicts=("data=-",))  # only one process can read standard input

    def resolved(self) -> SeriesRecipe:
        """The recipe of the run, in which options that are set replace values."""
        return resolve(self, NOTES if self.recipe == "notes" else BEST)


@dataclass(frozen=True, kw_only=True)
class ForecastConfig(common.OnDevice):
    """The options of commands that forecast with a trained network."""

    model: Path = training.MODEL
    # Data
    data: str | None = option(
        None, "CSV file with the columns of the training, or - for standard input.", panel="Data", metavar="FILE",
        shown_default="the end of the training data",
    )  # fmt: skip
    fill: Fill | None = replace(FILL, default=None, shown_default="that of the training")
    sort: bool = SORT
    # Model
    horizon: int | None = option(
        None, "Rows to forecast.", panel="Model", within="[1, 1e5]", shown_default="that of the training"
    )
    # Output
    smallest: float | None = option(
        None, "Smallest possible value, such as 0 for counts: forecasts and intervals are clipped to it.",
        panel="Output", within="[-1e30, 1e30]", name="--min", metavar="X",
    )  # fmt: skip
    plot: Path | None = common.png_option("Plot the result to this PNG file.")
    csv: str | None = common.CSV
    overwrite: bool = common.OVERWRITE


@dataclass(frozen=True, kw_only=True)
class SeriesForecastConfig(ForecastConfig, command="series forecast"):
    """Every option of `series forecast`."""

    interval: float = INTERVAL


@dataclass(frozen=True, kw_only=True)
class SeriesBacktestConfig(ForecastConfig, command="series backtest"):
    """Every option of `series backtest`."""

    folds: int = option(5, "Forecasts, from origins that are one horizon apart.", panel="Training", within="[1, 1e5]")


@command(
    panel="Train",
    task="series.train:train_series -> SeriesTrainResult",
    also=("series.results:Coverage", "series.results:ForecastAccuracy"),
    examples=(
        "dlnotes series train --recipe notes --out runs/sine",
        "dlnotes series train --data trend-season --hidden 16 --max-steps 40 --json",
    ),
)
def train(config: SeriesTrainConfig) -> None:
    """Train a recurrent network (GRU, LSTM or plain RNN) to forecast a column of a CSV file.

    The end of each series is held out; the network is compared with naive baselines and a linear autoregression on it.
    """


@command(
    panel="Use",
    task="series.forecast:forecast_series -> ForecastResult",
    also=("series.forecast:ForecastValue",),
    examples=(
        "dlnotes series forecast runs/sine --horizon 5",
        "dlnotes series forecast runs/sine --interval 0.9 --plot next.png --json",
    ),
)
def forecast(config: SeriesForecastConfig) -> None:
    """Forecast the next rows of time series with a trained network, with prediction intervals.

    Without --data, it continues the training data, whose last rows the model file has.
    """


@command(
    panel="Use",
    task="series.backtest:backtest_series -> BacktestResult",
    examples=(
        "dlnotes series backtest runs/sine --folds 3",
        "dlnotes series backtest runs/sine --horizon 9 --plot backtest.png --json",
    ),
)
def backtest(config: SeriesBacktestConfig) -> None:
    """Measure forecasts from a rolling origin on rows that the network was not trained on.

    Each fold is one horizon long; the network is not trained again.
    """
