"""How long models take, measured in this process."""

import statistics
import time
from collections.abc import Callable, Sequence

_RUNS = 50
_WARM_UP_RUNS = 3
_MAX_S = 2.0  # for the runs of one function
_FEWEST_RUNS = 5


def median_ms(functions: Sequence[Callable[[], object]]) -> tuple[list[float], int]:
    """Median milliseconds of a call of each function, and the number of calls; the functions take turns."""
    for function in functions:
        for _ in range(_WARM_UP_RUNS):
            function()
    seconds: list[list[float]] = [[] for _ in functions]
    started = time.perf_counter()
    for run in range(_RUNS):
        if run >= _FEWEST_RUNS and time.perf_counter() - started > _MAX_S * len(functions):
            break
        for function, measured in zip(functions, seconds, strict=True):
            before = time.perf_counter()
            function()
            measured.append(time.perf_counter() - before)
    return [1e3 * statistics.median(measured) for measured in seconds], len(seconds[0])
