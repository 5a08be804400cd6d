"""Ctrl-C and SIGTERM: they end a command, or are a request to stop that long work checks between two steps."""

import os
import signal
import sys
import time
from types import FrameType
from typing import Any, NoReturn, Self

from dlnotes_cli.shell.errors import ExitCode, StoppedError

_EXIT_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
_RETRY_S = 0.02  # until a signal that could not end the command is delivered again
_SAME_SIGNAL_S = 0.5  # `timeout` sends its signal twice, to the process and to its group
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"


class StoppedBySignal(BaseException):  # not an error; like KeyboardInterrupt
    """Ends a command after a signal; no `except Exception` catches it, but clean-up runs."""


class EndedBySignals:
    """SIGINT and SIGTERM end the block, whose `exit_code` is then that of the signal.

    A signal during an import is delivered after it, since an extension module may turn an exception into another one
    or crash. One that arrives in a destructor, where Python drops exceptions, is delivered again. Where a library drops
    the exception, the block runs on, and `exit_code` has the signal all the same.
    """

    def __init__(self) -> None:
        self.exit_code: ExitCode | None = None
        self._earlier_handlers: dict[signal.Signals, Any] = {}
        self._earlier_hook: Any = None

    def __enter__(self) -> Self:
        for number in _EXIT_CODES:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as in a job that a script starts with `&`
                self._earlier_handlers[number] = signal.signal(number, self._handle)
        self._earlier_hook, sys.unraisablehook = sys.unraisablehook, self._retry_dropped
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> bool:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = self._earlier_hook
        for number, handler in self._earlier_handlers.items():
            signal.signal(number, handler)
        return isinstance(error, StoppedBySignal)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.exit_code = _EXIT_CODES[signal.Signals(number)]
        if _is_importing(frame):
            self._deliver_later(signal.Signals(number))
        else:
            raise StoppedBySignal

    def _retry_dropped(self, dropped: Any) -> None:
        """The hook for exceptions that Python drops."""
        if isinstance(dropped.exc_value, StoppedBySignal):
            self._deliver_later(next(number for number, code in _EXIT_CODES.items() if code is self.exit_code))
        else:
            self._earlier_hook(dropped)

    def _deliver_later(self, number: signal.Signals) -> None:
        """Deliver a signal again, to the handler that is installed then, which may be that of a StopRequest."""
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
        signal.setitimer(signal.ITIMER_REAL, _RETRY_S)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False


class StopRequest:
    """Handles SIGINT and SIGTERM while the block runs: the first is a request, the second ends the process at once.

    A request that no `poll` has seen when the block ends is delivered to the handlers from before the block.
    """

    def __init__(self) -> None:
        self._requested: ExitCode | None = None
        self._requested_at, self._is_seen = 0.0, False
        self._earlier_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _EXIT_CODES:
            self._earlier_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        for number, handler in self._earlier_handlers.items():
            signal.signal(number, handler)
        if error is None and self._requested is not None and not self._is_seen:
            signal.raise_signal(next(number for number, code in _EXIT_CODES.items() if code is self._requested))

    @property
    def requested(self) -> ExitCode | None:
        """The exit code of the signal that has arrived; None if none has."""
        return self._requested

    def poll(self) -> None:
        """Raise StoppedError if a signal has arrived; call it between two steps."""
        if self._requested is not None:
            self.stop(self._requested)

    def stop(self, exit_code: ExitCode) -> NoReturn:
        """Raise StoppedError for a signal that has arrived, here or in another process of the same run."""
        self._is_seen = True
        raise StoppedError(exit_code, "stopped before the work was done")

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        exit_code, now = _EXIT_CODES[signal.Signals(number)], time.monotonic()
        if self._requested is None:
            self._requested, self._requested_at = exit_code, now
        elif now - self._requested_at >= _SAME_SIGNAL_S:
            os._exit(exit_code)
