"""Work on many files in threads: some files at a time, answers in order, progress shown."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from dlnotes_cli.shell import output

_MOST_FILES = 256  # in a chunk: small images need many, or handing them over costs more than decoding them
_MOST_BYTES = 1 << 23
_QUIET_S = 1.0  # shorter work shows no progress

Answer = TypeVar("Answer")


def in_chunks(
    work: Callable[[Sequence[int]], Answer],
    positions: Sequence[int],
    *,
    threads: int,
    sample_bytes: int,
    multiple: int = 1,
) -> Iterator[Answer]:
    """What `work` answers for each chunk of `positions`, in order; never more than a few chunks are under way.

    All chunks but the last have a multiple of `multiple` positions. The first error ends it all, and so does a signal.
    """
    step = min(_MOST_FILES, _MOST_BYTES // sample_bytes, len(positions) // (4 * threads))
    step = max(1, step // multiple) * multiple
    pending: deque[tuple[int, Future[Answer]]] = deque()
    started = time.monotonic()
    with output.progress("images") as bar, ThreadPoolExecutor(max_workers=threads) as pool:
        starts = iter(range(0, len(positions), step))
        try:
            while True:
                while len(pending) < 2 * threads and (start := next(starts, None)) is not None:
                    chunk = positions[start : start + step]
                    pending.append((start + len(chunk), pool.submit(work, chunk)))
                if not pending:
                    return
                done, future = pending.popleft()
                yield future.result()
                if time.monotonic() - started > _QUIET_S:
                    bar.update(done / len(positions), lambda done=done: f"{done:,} of {len(positions):,}")  # type: ignore[misc]
        finally:
            for _, future in pending:
                future.cancel()
