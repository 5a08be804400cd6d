"""The accuracy of forecasts (MAE, RMSE, MASE and sMAPE), intervals and their coverage, and the result of training."""

import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from dlnotes_cli.series.frames import Rows, Values
from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import NAN_IF_NULL
from dlnotes_cli.shell.show import Table
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.results import DataSummary, TrainingResult

ROUNDING = 1e-6  # of the range of the values: smaller errors are those of 32-bit floating point
_RANK_ROUNDING = 1e-9  # 20 (1 - 0.8) / 2 is 2, but in floating point a little less
_FEWEST = 10  # errors from which an interval is made


@dataclass(frozen=True)
class ForecastAccuracy:
    """The accuracy of one model, over all forecast values."""

    model: str
    mae: float
    rmse: float
    mase: float | None  # None where it is undefined: the training rows do not change from season to season
    smape: float  # percent, 0 to 200


def measure(model: str, forecasts: Values, targets: Values, naive_errors: Values) -> ForecastAccuracy:
    """The accuracy of forecasts (N, H) of targets (N, H), both in the units of the data.

    MASE divides the absolute errors by `naive_errors` (N,), the mean absolute error of the seasonal naive forecast in
    the training rows of the same series (Hyndman and Koehler 2006), nan where that is 0: then the series has none.
    sMAPE is the mean of 200 |y - f| / (|y| + |f|), in percent, where 0 / 0 counts as 0.
    """
    errors = np.abs(forecasts - targets)
    sums = np.abs(forecasts) + np.abs(targets)
    relative = np.divide(200 * errors, sums, out=np.zeros_like(errors), where=sums > 0)
    is_defined = ~np.isnan(naive_errors)
    mase = float((errors[is_defined] / naive_errors[is_defined, None]).mean()) if is_defined.any() else None
    return ForecastAccuracy(
        model, float(errors.mean()), math.sqrt(float((errors**2).mean())), mase, float(relative.mean())
    )


def interval_offsets(errors: Values, probability: float) -> Values | None:
    """Lower and upper offsets (H, 2) from a forecast to the ends of its interval, of errors (N, H), target - forecast.

    For each step they are the empirical quantiles of the errors, one rank further out than the sample's own: so the
    interval contains a new target with at least this probability if it is exchangeable with them (split conformal
    prediction, Vovk et al. 2005), or where the errors are too few for that, from the least error to the largest. None
    for fewer than 10 errors.
    """
    count = len(errors)
    if count < _FEWEST:
        return None
    ordered = np.sort(errors, axis=0)
    below = math.floor((count + 1) * (1 - probability) / 2 + _RANK_ROUNDING) - 1
    lower, upper = max(below, 0), min(count - 1 - below, count - 1)
    return np.stack([ordered[lower], ordered[upper]], axis=1)


@dataclass(frozen=True)
class Coverage:
    """How often intervals contain the targets of the validation rows."""

    interval: float  # the probability that they are made for
    coverage: float  # the fraction of the targets of the second half of the rows
    targets: int


def measure_coverage(errors: Values, is_early: Rows, is_late: Rows, probability: float) -> Coverage | None:
    """The coverage of the late forecasts' targets by intervals from the early forecasts' errors; errors are (N, H).

    `is_early` and `is_late` are indices. None if there are too few of either.
    """
    offsets = interval_offsets(errors[is_early], probability)
    late = errors[is_late]
    if offsets is None or not len(late):
        return None
    is_inside = (late >= offsets[:, 0]) & (late <= offsets[:, 1])
    return Coverage(probability, float(is_inside.mean()), int(late.size))


@dataclass(frozen=True, kw_only=True)
class SeriesMetrics(Metrics):
    """Means over the forecasts of the validation rows; `loss` is of scaled values, the others in units of the data."""

    has_accuracy: ClassVar[bool] = False

    mae: float = field(metadata=NAN_IF_NULL)
    rmse: float = field(metadata=NAN_IF_NULL)


@dataclass(frozen=True)
class SeriesData(DataSummary):
    """The training data of a forecasting network."""

    column: str
    groups: int
    counts: dict[str, int]  # rows of each split
    season: int  # 1: none
    window: int
    horizon: int
    inputs: tuple[str, ...]
    filled: int
    skipped: int


@dataclass(frozen=True)
class SeriesTrainResult(TrainingResult):
    """The result of training a forecasting network."""

    data: SeriesData
    validation: SeriesMetrics
    models: tuple[ForecastAccuracy, ...]  # of the network, the baselines and, if it is known, the true signal
    best_baseline: str
    improvement: float | None  # of RMSE over the best baseline, as a fraction; negative if worse, None if that is exact
    coverage: Coverage | None

    def table(self) -> Iterator[Table | str]:
        """The accuracy of each model, and what follows from it."""
        yield accuracy_table(self.models, self.data.season)
        yield verdict(self.best_baseline, self.improvement)
        if self.coverage is None:
            yield "coverage of the intervals: unknown, because the validation rows are too few"
        else:
            yield (
                f"{100 * self.coverage.interval:g}% intervals from the first half of the validation rows: "
                f"{self.coverage.coverage:.1%} coverage in the second half"
            )
        timing = self.timing
        yield f"{self.selection}; {timing.train_s:.1f} s training, {timing.samples_per_s:,.0f} windows/s"

    @property
    def next_command(self) -> str:
        """A command that uses the model."""
        return shlex.join(["dlnotes", "series", "forecast", self.out])


def accuracy_table(models: tuple[ForecastAccuracy, ...], season: int = 1) -> Table:
    """A row for each model."""
    rows = [
        (
            f"{one.model}, season {season}" if one.model == "seasonal naive" and season > 1 else one.model,
            output.number(one.mae), output.number(one.rmse), output.number(one.mase), f"{one.smape:.2f}",
        )
        for one in models
    ]  # fmt: skip
    metrics = ("MAE", "RMSE", "MASE", "sMAPE (%)")
    return Table(("model", *metrics), rows, metrics, is_result=True)


def digits(cell: Any) -> Any:
    """A cell of a CSV file: a number with nine digits."""
    return f"{cell:.9g}" if isinstance(cell, float) else cell


def verdict(best_baseline: str, improvement: float | None) -> str:
    """Whether a network beats the best baseline, in one sentence.

    >>> verdict("drift", 0.25)
    'the network beats the best baseline, drift, by 25.0% RMSE'
    >>> verdict("drift", -0.01)
    'the network does NOT beat the best baseline, drift: its RMSE is 1.0% higher'
    """
    if improvement is None:
        return f"the network does NOT beat the best baseline, {best_baseline}, which is exact here"
    if improvement > 0:
        return f"the network beats the best baseline, {best_baseline}, by {improvement:.1%} RMSE"
    worse = f"is {-improvement:.1%} higher" if improvement > -1 else f"is {1 - improvement:,.1f} times as high"
    return f"the network does NOT beat the best baseline, {best_baseline}: its RMSE {worse}"
