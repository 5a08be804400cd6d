"""`dlnotes series train`, `forecast` and `backtest`."""

from dlnotes_cli.series.options import SeriesBacktestConfig, SeriesForecastConfig, SeriesTrainConfig
from dlnotes_cli.shell.binding import command


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
