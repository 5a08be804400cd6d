"""Map a function over many files in threads: chunk by chunk, in order, with a progress bar."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from dlnotes_cli.shell import output

_MOST_FILES = 256  # per chunk; with fewer small files per chunk, handing chunks over costs more than decoding
_MOST_BYTES = 1 << 23  # of decoded samples per chunk
_QUIET_S = 1.0  # shorter work shows no progress

Result = TypeVar("Result")


def map_chunks(
    function: Callable[[Sequence[int]], Result],
    positions: Sequence[int],
    *,
    threads: int,
    sample_bytes: int,
    multiple: int = 1,
) -> Iterator[Result]:
    """Call `function` on chunks of `positions` in threads and yield the results in order.

    At most 2 x `threads` chunks are submitted ahead. All chunks but the last have a multiple of `multiple` positions.
    The first error, or closing the iterator, cancels the chunks that have not started.
    """
    step = min(_MOST_FILES, _MOST_BYTES // sample_bytes, len(positions) // (4 * threads))
    step = max(1, step // multiple) * multiple
    pending: deque[tuple[int, Future[Result]]] = deque()
    started = time.monotonic()
    with output.progress("images") as bar, ThreadPoolExecutor(max_workers=threads) as pool:
        starts = iter(range(0, len(positions), step))
        try:
            while True:
                while len(pending) < 2 * threads and (start := next(starts, None)) is not None:
                    chunk = positions[start : start + step]
                    pending.append((start + len(chunk), pool.submit(function, chunk)))
                if not pending:
                    return
                done, future = pending.popleft()
                yield future.result()
                if time.monotonic() - started > _QUIET_S:
                    bar.update(done / len(positions), lambda done=done: f"{done:,} of {len(positions):,}")  # type: ignore[misc]
        finally:
            for _, future in pending:
                future.cancel()
