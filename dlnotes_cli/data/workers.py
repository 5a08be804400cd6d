"""Threads that share a piece of work by strips of rows; numpy and zlib let them run side by side."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def over_strips(work: Callable[[int, int], T], height: int, strip: int, threads: int) -> Iterator[T]:
    """Do `work(start, stop)` on each strip of `strip` rows, in threads; the answers come from the top down."""
    starts = range(0, height, strip)
    if threads == 1 or len(starts) == 1:
        yield from (work(start, min(start + strip, height)) for start in starts)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda start: work(start, min(start + strip, height)), starts)
