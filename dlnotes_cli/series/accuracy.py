"""The accuracy of forecasts: MAE, RMSE, MASE and sMAPE, and the coverage of intervals."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dlnotes_cli.series.frames import Rows, Values

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

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


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

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


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
