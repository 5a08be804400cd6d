"""Ctrl-C and SIGTERM as a request that long work looks at between two steps."""

import os
import signal
from types import FrameType
from typing import Any, Self

from dlnotes_cli.shell.errors import ExitCode, StoppedError

_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class StopRequest:
    """Catches SIGINT and SIGTERM while the block runs: the first asks, the second ends the process at once."""

    def __init__(self) -> None:
        self._asked: ExitCode | None = None
        self._earlier: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _CODES:
            self._earlier[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def poll(self) -> None:
        """Raise StoppedError if the end was asked for; call it between two steps."""
        if self._asked is not None:
            raise StoppedError(self._asked, "ended before the work was done")

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self._asked is not None:
            os._exit(_CODES[signal.Signals(number)])
        self._asked = _CODES[signal.Signals(number)]
