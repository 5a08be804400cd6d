"""Ctrl-C and SIGTERM as a request that long work looks at between two steps."""

import os
import signal
from types import FrameType, TracebackType
from typing import Any, Self

from dlnotes_cli.errors import ExitCode

_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class StopRequestedError(Exception):
    """Raised between two steps of work, once a signal has asked for the end."""

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__(exit_code.name.lower())
        self.exit_code = exit_code


class StopRequest:
    """Catches SIGINT and SIGTERM while the block runs: the first asks, the second ends the process at once."""

    def __init__(self) -> None:
        self._asked: ExitCode | None = None
        self._earlier: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _CODES:
            self._earlier[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def poll(self) -> None:
        """Raise StopRequestedError if the end was asked for; call it between two steps."""
        if self._asked is not None:
            raise StopRequestedError(self._asked)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self._asked is not None:
            os._exit(_CODES[signal.Signals(number)])
        self._asked = _CODES[signal.Signals(number)]
