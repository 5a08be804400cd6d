"""Threads that share work on an image by strips of rows; numpy releases the interpreter lock."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def over_strips(work: Callable[[int, int], T], height: int, strip: int, threads: int) -> Iterator[T]:
    """Call `work(start, stop)` for each strip of `strip` rows, in threads; yields the results from top to bottom."""
    starts = range(0, height, strip)
    if threads == 1 or len(starts) == 1:
        yield from (work(start, min(start + strip, height)) for start in starts)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda start: work(start, min(start + strip, height)), starts)
