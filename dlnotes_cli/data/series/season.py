"""The season of a time series, found by autocorrelation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MOST_ROWS = 1 << 18  # of each series, the last ones
_LONGEST_SEASON = 10_000
_DIP = 0.7  # a season's V is at most this fraction of the mean of V over shorter lags
_NEAR = 0.1  # lags whose V is so near the least one are equally good, and the shortest is taken
_NEAR_OF_MEAN = 0.05  # as _NEAR, as a fraction of the mean of V over shorter lags
_FEWEST_SEASONS = 3  # in a series


def find_season(series: Sequence[NDArray[np.float64]]) -> int:
    """The season in rows of series (T,) with the same season, each with one scale; 1 if there is none.

    V(m), the mean of (y[t] - y[t - m])^2, is twice the variance times 1 - r(m), where r is the autocorrelation at
    lag m; unlike r, it is not disturbed by a trend. The season is the shortest lag m at which V has a local minimum
    of at most 70 % of its mean over the lags 1 to m, and above the least such minimum by no more than 10 % of it, or
    5 % of that minimum's mean.

    >>> find_season([np.sin(np.arange(200) * np.pi / 6)])
    12
    """
    series = [values[-_MOST_ROWS:] for values in series]
    longest = min(_LONGEST_SEASON, max((len(values) for values in series), default=0) // _FEWEST_SEASONS)
    if longest < 2:  # noqa: PLR2004  # of two rows, the shortest season
        return 1
    sums, counts = np.zeros(longest + 2), np.zeros(longest + 2)
    for values in series:
        lags = np.arange(1, min(longest + 2, len(values)))
        sums[lags] += _squared_differences(values, lags)
        counts[lags] += len(values) - lags
    v = sums[1:] / np.maximum(counts[1:], 1)  # v[i] is V(i + 1); the last one only ends the last minimum
    if not v[:-1].max() > 0:
        return 1
    lags = np.arange(2, longest + 1)
    here, before, after = v[lags - 1], v[lags - 2], v[lags]
    means = np.cumsum(v)[lags - 1] / lags
    dips = lags[(here < before) & (here <= after) & (here <= _DIP * means)]
    if not len(dips):
        return 1
    best = int(dips[v[dips - 1].argmin()])
    least = v[best - 1]
    tolerance = least + max(_NEAR * least, _NEAR_OF_MEAN * means[best - 2])
    return int(dips[v[dips - 1] <= tolerance][0])


def _squared_differences(values: NDArray[np.float64], lags: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sums of (y[t] - y[t - m])^2 over t for each lag m, by the Fourier transform."""
    centered = values - values.mean()
    size = 1 << (2 * len(centered) - 1).bit_length()
    spectrum = np.fft.rfft(centered, size)
    products = np.fft.irfft(spectrum * spectrum.conj(), size)[lags]
    squares = np.concatenate([[0.0], np.cumsum(centered**2)])
    total = squares[-1]
    sums: NDArray[np.float64] = np.maximum((total - squares[lags]) + squares[len(centered) - lags] - 2 * products, 0.0)
    return sums
