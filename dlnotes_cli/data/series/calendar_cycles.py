"""Calendar features: the hour of the day, the day of the week and of the year, as sines and cosines."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.series.time_axis import DAY_S

Cycle = Literal["day", "week", "year"]
CYCLES: dict[Cycle, float] = dict(zip(get_args(Cycle), (DAY_S, 7 * DAY_S, 365.2425 * DAY_S), strict=True))  # seconds
_HARMONICS = 3  # of each cycle


def cycles_of(step_s: float, rows: int) -> tuple[Cycle, ...]:
    """The cycles that a series with this step shows: at least two rows long, and complete in its `rows` rows."""
    return tuple(name for name, length in CYCLES.items() if 2 * step_s <= length <= rows * step_s)


def calendar_features(seconds: NDArray[np.float64], cycles: tuple[Cycle, ...]) -> NDArray[np.float64]:
    """Sine and cosine of three harmonics of each cycle (N, 6 * cycles), of times in seconds since 1970."""
    angles = [2 * np.pi * k * ((seconds / CYCLES[name]) % 1) for name in cycles for k in range(1, _HARMONICS + 1)]
    waves = [wave for angle in angles for wave in (np.sin(angle), np.cos(angle))]
    return np.stack(waves, axis=1) if waves else np.zeros((len(seconds), 0))


def count_features(cycles: tuple[Cycle, ...]) -> int:
    """The number of features of `calendar_features`."""
    return 2 * _HARMONICS * len(cycles)
