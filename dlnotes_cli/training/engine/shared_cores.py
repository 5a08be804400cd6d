"""The number of threads of a training, while other processes use the same cores."""

import time
from typing import Self

import torch

from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import OtherProcesses

_EVERY_S = 1.0  # between two measurements


class SharedCores:
    """Leaves the cores that other processes use to them within a `with` block, unless the user chose the threads.

    The threads of one operation wait for the slowest of them. A thread that shares its core with another process can
    therefore make training several times slower than it would be with fewer threads. The number changes when two
    measurements in a row agree. Where the user has chosen it, a note advises another one. Either note is printed once.
    """

    def __init__(self, threads: int, *, is_adaptive: bool) -> None:
        self._threads, self._is_adaptive = threads, is_adaptive
        self._now = self._last_free = threads
        self._others = OtherProcesses()
        self._next = time.monotonic() + _EVERY_S
        self._is_noted = False

    def adapt(self) -> None:
        """Measure and adapt, if that is due; call it between steps."""
        if self._threads == 1 or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_S
        used = self._others.cores_used()
        if used is None:
            return
        free = min(self._threads, max(1, round(self._others.cores - used)))
        last_free, self._last_free = self._last_free, free
        if free != last_free:
            return
        if free < self._threads and not self._is_noted:
            output.note(f"other processes use {used:.1f} of {self._others.cores} cores; {self._consequence(free)}")
            self._is_noted = True
        if self._is_adaptive:
            self._set(free)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Return to the number of threads at the start."""
        self._set(self._threads)

    def _set(self, threads: int) -> None:
        if threads != self._now:
            self._now = threads
            torch.set_num_threads(threads)

    def _consequence(self, free: int) -> str:
        number = output.counted(free, "thread")
        if self._is_adaptive:
            return f"training continues with {number} for as long as they do (--threads {self._threads}: always all)"
        return f"this slows training with {self._threads} threads, and --threads {free} may be faster"
