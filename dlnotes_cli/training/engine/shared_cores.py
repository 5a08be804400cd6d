"""A note when other processes slow training down."""

import time

from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import OtherProcesses, available_cores

_EVERY_S = 5.0  # seconds between two measurements
_TOLERANCE = 0.5  # cores


class SharedCores:
    """Notes once, during training, that other processes use cores which the threads of the training need.

    The threads of one operation wait for the slowest of them. A thread that shares its core with another process can
    therefore make training slower than it would be with fewer threads.
    """

    def __init__(self, threads: int) -> None:
        self._threads, self._cores = threads, available_cores()
        self._others = OtherProcesses()
        self._next = time.monotonic() + _EVERY_S
        self._is_noted = threads == 1

    def note_if_slow(self) -> None:
        """Print the note if it is due; call it between steps."""
        if self._is_noted or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_S
        used = self._others.cores_used()
        if used is None or used <= self._cores - self._threads + _TOLERANCE:
            return
        free = max(1, round(self._cores - used))
        output.note(
            f"other processes use {used:.1f} of {self._cores} cores, which slows training with {self._threads} "
            f"threads; --threads {free} may be faster"
        )
        self._is_noted = True
