"""`dlnotes series train`, `forecast` and `backtest`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlnotes_cli.series.options import SeriesBacktestConfig, SeriesForecastConfig, SeriesTrainConfig
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.binding import command

if TYPE_CHECKING:
    from dlnotes_cli.series.accuracy import ForecastAccuracy
    from dlnotes_cli.series.backtest import BacktestResult
    from dlnotes_cli.series.forecast import ForecastResult
    from dlnotes_cli.series.results import SeriesTrainResult

_METRICS = ("MAE", "RMSE", "MASE", "sMAPE (%)")


@command(
    panel="Train",
    task="series.train:train_series -> SeriesTrainResult",
    also=(
        "series.accuracy:Coverage",
        "series.accuracy:ForecastAccuracy",
    ),
    examples=(
        "dlnotes series train --recipe notes --out runs/sine",
        "dlnotes series train --data trend-season --hidden 16 --max-steps 40 --json",
    ),
)
def train(config: SeriesTrainConfig) -> None:
    """Train a recurrent network (GRU, LSTM or plain RNN) to forecast a column of a CSV file.

    The end of each series is held out; the network is compared with naive baselines and a linear autoregression on it.
    """
    from dlnotes_cli.series.train import train_series

    result = train_series(config)
    if config.json:
        output.document(config.command, result.as_json())
    else:
        _print_training(result)


def _print_training(result: "SeriesTrainResult") -> None:
    _print_models(result.models, result.data.season)
    timing, coverage = result.timing, result.coverage
    output.line()
    output.line(result.verdict)
    if coverage is None:
        output.line("coverage of the intervals: unknown, because the validation rows are too few")
    else:
        output.line(
            f"{100 * coverage.interval:g}% intervals from the first half of the validation rows: "
            f"{coverage.coverage:.1%} coverage in the second half"
        )
    output.line(f"{result.selection}; {timing.train_s:.1f} s training, {timing.samples_per_s:,.0f} windows/s")
    for path in (result.model_file, *result.plots):
        output.line(path)


def _print_models(models: "Sequence[ForecastAccuracy]", season: int = 1) -> None:
    rows = [
        (
            f"{one.model}, season {season}" if one.model == "seasonal naive" and season > 1 else one.model,
            output.number(one.mae), output.number(one.rmse), output.number(one.mase), f"{one.smape:.2f}",
        )
        for one in models
    ]  # fmt: skip
    output.table(("model", *_METRICS), rows, _METRICS)


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
    from dlnotes_cli.series.forecast import forecast_series

    result = forecast_series(config)
    header, rows = _forecast_rows(result)
    if not _write_for_scripts(result, config, header, rows):
        if config.csv_file is None:
            cells = [
                [output.number(cell) if isinstance(cell, float) else "-" if cell is None else cell for cell in row]
                for row in rows
            ]
            output.table(header, cells, header[-4:])
        for path in (config.csv_file, config.plot):
            if path is not None:
                output.line(str(path))


def _forecast_rows(result: "ForecastResult") -> tuple[tuple[str, ...], list[tuple[str | int | float | None, ...]]]:
    has_groups = any(value.group for value in result.forecasts)
    header = (*(["group"] if has_groups else []), "time", "step", result.column, "low", "high")
    rows: list[tuple[str | int | float | None, ...]] = [
        (*([one.group] if has_groups else []), one.time, one.step, one.value, one.low, one.high)
        for one in result.forecasts
    ]
    return header, rows


def _csv_cell(cell: str | float | None) -> str | int:
    if cell is None:
        return ""
    return f"{cell:.9g}" if isinstance(cell, float) else cell


def _csv(header: Sequence[str], rows: "Sequence[Sequence[str | int | float | None]]") -> str:
    import csv
    import io

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_csv_cell(cell) for cell in row] for row in rows)
    return stream.getvalue()


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
    from dlnotes_cli.series.backtest import backtest_series

    result = backtest_series(config)
    header = ("step", *(one.model for one in result.models))
    rows = [(step.step, *(one.rmse for one in step.models)) for step in result.steps]
    if not _write_for_scripts(result, config, header, rows):
        _print_backtest(result, config)


def _write_for_scripts(
    result: "ForecastResult | BacktestResult",
    config: SeriesForecastConfig | SeriesBacktestConfig,
    header: Sequence[str],
    rows: "Sequence[Sequence[str | int | float | None]]",
) -> bool:
    """Write the file of `--csv`, and the JSON or CSV result to stdout if it is asked for; returns whether it was."""
    if config.csv_file is not None:
        files.write_text(config.csv_file, _csv(header, rows))
    if config.json:
        output.document(config.command, result.as_json())
    elif config.csv_to_stdout:
        output.raw(_csv(header, rows))
    return config.json or config.csv_to_stdout


def _print_backtest(result: "BacktestResult", config: SeriesBacktestConfig) -> None:
    _print_models(result.models)
    output.line()
    if not config.quiet and config.csv_file is None:
        names = [one.model for one in result.models]
        header = ("RMSE at step", *names)
        output.table(
            header, [(step.step, *(output.number(one.rmse) for one in step.models)) for step in result.steps], names
        )
        output.line()
    output.line(
        f"{output.counted(len(result.folds), 'fold')} of {output.counted(result.horizon, 'row')}; {result.verdict}"
    )
    for path in (config.csv_file, result.plot):
        if path is not None:
            output.line(str(path))
