"""Ctrl-C and SIGTERM as a request to stop, which long work checks between two steps."""

import os
import signal
from types import FrameType
from typing import Any, Self

from dlnotes_cli.shell.errors import ExitCode, StoppedError

_EXIT_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class StopRequest:
    """Handles SIGINT and SIGTERM while the block runs: the first is a request, the second ends the process at once."""

    def __init__(self) -> None:
        self._requested: ExitCode | None = None
        self._earlier_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _EXIT_CODES:
            self._earlier_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._earlier_handlers.items():
            signal.signal(number, handler)

    def poll(self) -> None:
        """Raise StoppedError if a signal has arrived; call it between two steps."""
        if self._requested is not None:
            raise StoppedError(self._requested, "stopped before the work was done")

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        exit_code = _EXIT_CODES[signal.Signals(number)]
        if self._requested is not None:
            os._exit(exit_code)
        self._requested = exit_code
