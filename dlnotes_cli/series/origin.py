"""The model and the rows that `series forecast` and `series backtest` start from."""

from dataclasses import dataclass, replace

from dlnotes_cli.data.paths import is_same
from dlnotes_cli.data.series.read import check_file, is_generated, read_series
from dlnotes_cli.data.series.series_set import SeriesSet
from dlnotes_cli.device import Runtime
from dlnotes_cli.series.forecaster import Forecaster
from dlnotes_cli.series.frames import newer_frames, stored_frames
from dlnotes_cli.series.options import SeriesBacktestConfig, SeriesForecastConfig
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.show import check_outputs, csv_file
from dlnotes_cli.training.model_file import SeriesModel, load_series_model, runtime_for_model

AnyConfig = SeriesForecastConfig | SeriesBacktestConfig


@dataclass(frozen=True)
class Origin:
    """A trained network with the rows that it forecasts from."""

    model: SeriesModel
    runtime: Runtime
    data: str  # the name of the rows
    horizon: int
    stored: Forecaster  # for the end of the training data, whose validation rows it has not been trained on
    forecaster: Forecaster  # for the rows of `--data`; `stored` without one

    @property
    def lookback(self) -> int:
        """Rows before an origin that the models read."""
        return max(self.model.network.config.window, self.model.preprocessing.season)


def open_origin(config: AnyConfig) -> Origin:
    """Load the model, and read the rows of `--data` if it is given.

    Raises InputError for an output that exists, an invalid model file or data, and a horizon that the network cannot
    forecast.
    """
    check_outputs(config)
    model = load_series_model(config.model)
    preprocessing = model.preprocessing
    horizon = config.horizon or preprocessing.horizon
    _check_horizon(model, horizon)
    runtime = runtime_for_model(model.metadata, config)
    network = model.network.to(runtime.device)
    stored = Forecaster(network, stored_frames(network, preprocessing, horizon), runtime)
    if config.data is None:
        name = str(model.metadata.get("data", {}).get("name", "training data"))
        return Origin(model, runtime, name, horizon, stored, stored)
    _check_not_overwritten(config)
    fill = config.fill or preprocessing.fill
    columns = replace(preprocessing.columns, fill=fill, is_sorted=config.sort)  # type: ignore[arg-type]  # checked there
    if is_generated(config.data) and config.data != model.metadata["data"]["name"]:
        raise InputError("--data", f"the model was not trained on {config.data}", "name a CSV file")
    data = read_series(config.data, columns, preprocessing.groups[0].axis)
    _check_groups(data, model)
    frames = newer_frames(data, preprocessing, horizon, stored.frames)
    return Origin(model, runtime, config.data, horizon, stored, Forecaster(network, frames, runtime))


def is_continued(model: SeriesModel, horizon: int) -> bool:
    """Whether a forecast of this horizon is continued from the network's own forecasts."""
    return horizon > model.network.config.horizon


def _check_horizon(model: SeriesModel, horizon: int) -> None:
    if is_continued(model, horizon) and model.preprocessing.inputs:
        most = model.network.config.horizon
        what = f"{horizon} rows are more than the {most} that the network forecasts at once, and its inputs "
        what += f"({', '.join(model.preprocessing.inputs)}) are unknown there"
        raise InputError("--horizon", what, f"use --horizon {most}, or train with a longer one")


def _check_groups(data: SeriesSet, model: SeriesModel) -> None:
    """Refuse groups that the network was not trained on, and too few rows. Raises InputError."""
    known = [group.name for group in model.preprocessing.groups]
    needed = max(model.network.config.window, model.preprocessing.season)
    for series in data.series:
        if series.name not in known:
            raise unknown_choice(data.name, series.name, known, kind="group")
        if series.rows < needed:
            where = f"group '{series.name}': " if series.name else ""
            what = f"{where}{series.rows:,} rows, but a forecast reads {needed:,}"
            raise InputError(data.name, what, "give more rows")


def _check_not_overwritten(config: AnyConfig) -> None:
    source = check_file(config.data or "-")
    for option, path in (("--plot", config.plot), ("--csv", csv_file(config))):
        if path is not None and source is not None and is_same(path, source):
            raise InputError(option, f"{path} is also the input", "choose another file name")
