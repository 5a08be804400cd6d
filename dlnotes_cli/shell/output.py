"""The only printer: the result to stdout; progress, notes, warnings and errors to stderr."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from dlnotes_cli.shell.errors import DlnotesError

SCHEMA_VERSION = 1
_PLAIN_LINES = 8  # progress lines in one run where there is no terminal
_REFRESH_S = 0.1
_ESCAPED_BYTE = 0xDC00  # where Python puts a byte of a file name that is not UTF-8
_BYTES = frozenset(map(chr, range(_ESCAPED_BYTE + 0x80, _ESCAPED_BYTE + 0x100)))
_PIPED_WIDTH = 400  # columns where nothing wraps: a script reads the table


@dataclass
class _Voice:
    quiet: bool = False
    verbose: bool = False


_voice = _Voice()


def configure(*, quiet: bool = False, verbose: bool = False) -> None:
    """Set how much goes to stderr for the rest of the process."""
    _voice.quiet, _voice.verbose = quiet, verbose


def printable(text: str) -> str:
    r"""Escape control characters, so that a file name cannot move the cursor or fake a line; and bytes without a text.

    >>> printable("a\nb"), printable(os.fsdecode(b"caf\xe9"))
    ('a\\x0ab', 'caf\\xe9')
    """
    return "".join(c if c.isprintable() else f"\\x{ord(c) - _ESCAPED_BYTE * (c in _BYTES):02x}" for c in text)


def document(command: str, fields: dict[str, Any]) -> None:
    """Print the one JSON document of a command; nan and inf become null."""
    print(json.dumps(finite({"schema_version": SCHEMA_VERSION, "command": command, **fields}), indent=2))


def json_line(fields: dict[str, Any]) -> None:
    """Print one item of a `--jsonl` stream."""
    print(json.dumps(finite(fields)), flush=True)


def finite(value: Any) -> Any:
    """Replace nan and inf, which JSON does not have, by None, at any depth."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value


def line(text: str = "") -> None:
    """Print one line of the result."""
    print(printable(text))


def raw(text: str) -> None:
    """Print text of the result as it is, CSV for example: UTF-8, but names of files keep the bytes they have."""
    raw_bytes(text.encode(errors="surrogateescape"))


def raw_bytes(content: bytes) -> None:
    """Print bytes of the result as they are, an image for example."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; columns whose cells are all numbers are set to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for position, column in enumerate(columns):
        numeric = all(isinstance(row[position], int | float) or _is_number(str(row[position])) for row in rows)
        view.add_column(column, justify="right" if numeric and rows else "left", overflow="fold")
    for row in rows:
        view.add_row(*(Text(printable(str(cell))) for cell in row))
    _console(sys.stdout).print(view)


def detail(text: str) -> None:
    """Print what only `--verbose` asks for."""
    if _voice.verbose:
        note(text)


def note(text: str) -> None:
    """Print a remark to stderr."""
    if not _voice.quiet:
        _say(printable(text))


def warn(text: str) -> None:
    """Print a warning to stderr."""
    note(f"dlnotes: warning: {text}")


def error(problem: "DlnotesError") -> None:
    """Print an error as its one line."""
    _say(printable(f"dlnotes: error: {problem}"))


def bug(report: str) -> None:
    """Print the only traceback there is."""
    _say(f"{report}\ndlnotes: this is a bug in dlnotes; please report it with the output of `dlnotes doctor --json`")


def _say(text: str) -> None:
    """Print to stderr; where that fails, the work goes on unheard."""
    with suppress(OSError):
        print(text, file=sys.stderr)


class Progress:
    """How far a piece of work has come; on a terminal a live bar, elsewhere a few plain lines."""

    def __init__(self, label: str, advance_bar: Any = None) -> None:
        self._label, self._bar = label, advance_bar
        self._started, self._first = time.monotonic(), None  # type: float, float | None
        self._shown_at = 0.0
        self._lines = 0

    def update(self, fraction: float, text: Callable[[], str] = str) -> None:
        """Show `fraction` (0 to 1) done; cheap enough to call at every step, `text` is made only when it is shown."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._started = fraction, now
        if _voice.quiet or now - self._shown_at < _REFRESH_S:
            return
        self._shown_at = now
        if self._bar is not None:
            self._bar(fraction, text())
        elif int(fraction * _PLAIN_LINES) > self._lines:
            self._lines = int(fraction * _PLAIN_LINES)
            note(f"{self._label}: {fraction:4.0%}  {text()}{self._left(fraction, now)}")

    def _left(self, fraction: float, now: float) -> str:
        """The time that is left, at the pace so far; what was done before this process does not count."""
        done = fraction - (self._first or 0.0)
        left = (now - self._started) * (1 - fraction) / done if done > 0 else 0.0
        return f"  {left:.0f} s left" if left >= 1 else ""


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """Report a piece of work while the block runs."""
    if _voice.quiet or not _is_live(sys.stderr):
        yield Progress(label)
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn(label),
        BarColumn(bar_width=24),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[text]}"),
    )
    with Bar(*columns, console=_console(sys.stderr), transient=True) as bar:
        task = bar.add_task(label, total=1.0, text="")
        yield Progress(label, lambda fraction, text: bar.update(task, completed=fraction, text=text))


def _is_live(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}


def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else _PIPED_WIDTH, highlight=False, soft_wrap=False)


def _is_number(text: str) -> bool:
    return (
        text.replace(",", "").replace(".", "", 1).replace("-", "", 1).removesuffix("%").strip().isdigit() or text == "-"
    )
