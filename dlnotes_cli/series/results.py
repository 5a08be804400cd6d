"""The results of `series train`, `forecast` and `backtest`."""

from dataclasses import dataclass, field
from typing import ClassVar

from dlnotes_cli.series.accuracy import Coverage, ForecastAccuracy
from dlnotes_cli.shell.codec import NAN_IF_NULL
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.results import DataSummary, TrainingResult


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

    @property
    def verdict(self) -> str:
        """Whether the network beats the best baseline, in one sentence."""
        return verdict(self.best_baseline, self.improvement)


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
