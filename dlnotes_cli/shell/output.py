"""The only module that prints: results to stdout; progress, notes, warnings and errors to stderr."""

import json
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    from dlnotes_cli.shell.errors import DlnotesError

SCHEMA_VERSION = 1
_PLAIN_LINES = 8  # of progress, where stderr is not a terminal
_PLAIN_LINE_S = 60.0  # after which there is another line all the same
_BAR_WIDTH = 24
_UNIT_STEP = 1000
_REFRESH_S = 0.1
_ESCAPED_BYTE = 0xDC00  # plus the byte is the code point that Python gives to a byte that is not UTF-8
_ESCAPED_BYTES = frozenset(map(chr, range(_ESCAPED_BYTE + 0x80, _ESCAPED_BYTE + 0x100)))
_PIPED_WIDTH = 400  # columns, so that nothing wraps in a table that a script reads
_MOST_STYLED_ROWS = 1000  # of a table
_WORD_STYLES = ((0.5, "bold reverse"), (0.2, "bold"), (0.05, "not bold"))  # by the least weight of a word
_SMALL_NUMBER, _LARGE_NUMBER = 1e-3, 1e6  # between which a number has four decimals


@dataclass
class _Verbosity:
    quiet: bool = False
    verbose: bool = False
    muted: bool = False


_verbosity = _Verbosity()


def configure(*, quiet: bool = False, verbose: bool = False) -> None:
    """Set how much is printed to stderr from now on."""
    _verbosity.quiet, _verbosity.verbose, _verbosity.muted = quiet, verbose, False


def mute() -> None:
    """Print nothing until the next `configure`: another process of the same run prints for this one."""
    _verbosity.quiet = _verbosity.muted = True


def printable(text: str) -> str:
    r"""Escape bytes that are not UTF-8, and control characters, with which a file name could move the cursor.

    >>> printable("a\nb"), printable(os.fsdecode(b"caf\xe9"))
    ('a\\x0ab', 'caf\\xe9')
    """
    if text.isprintable():
        return text
    text = readable(text)
    return "".join(c if c.isprintable() else f"\\x{ord(c) - _ESCAPED_BYTE * (c in _ESCAPED_BYTES):02x}" for c in text)


def readable(text: str) -> str:
    r"""Decode as UTF-8 what Python left as bytes in a file name because the locale is not UTF-8.

    >>> readable(b"caf\xc3\xa9".decode("ascii", "surrogateescape"))
    'café'
    """
    try:
        return text.encode(errors="surrogateescape").decode(errors="surrogateescape")
    except UnicodeEncodeError:  # other surrogates, from JSON for example
        return text


def duration(seconds: float) -> str:
    """A duration for people, in its two largest units.

    >>> duration(9.4), duration(125), duration(7384), duration(200000)
    ('9 s', '2 min 5 s', '2 h 3 min', '2 d 7 h')
    """
    rest = round(seconds)
    units = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        units.append((count, unit))
    first = next((i for i, (count, _) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for i, (count, unit) in enumerate(units[first : first + 2]) if count or not i)


def counted(count: int, noun: str, nouns: str = "") -> str:
    """A number with its noun in the singular or plural.

    >>> counted(1, "thread"), counted(1200, "thread"), counted(2, "class", "classes")
    ('1 thread', '1,200 threads', '2 classes')
    """
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def size(count: int) -> str:
    """A number of bytes for people, in decimal units.

    >>> size(999), size(1_234_567), size(20_000_000_000)
    ('999 B', '1.2 MB', '20.0 GB')
    """
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= _UNIT_STEP and len(units) > 1:
        value /= _UNIT_STEP
        del units[0]
    return f"{value:,.0f} B" if units[0] == "B" else f"{value:,.1f} {units[0]}"


def number(value: float | None) -> str:
    """A number for people: whole, with four decimals, or with four digits where it is very small or large.

    >>> number(2.0), number(-0.40760596), number(1.5e-7), number(None)
    ('2', '-0.4076', '1.5e-07', '-')
    """
    if value is None:
        return "-"
    if value == round(value, 0) and abs(value) < _LARGE_NUMBER:
        return f"{value + 0.0:.0f}"  # -0 is 0
    return f"{value:.4f}" if _SMALL_NUMBER <= abs(value) < _LARGE_NUMBER else f"{value:.4g}"


def document(command: str, fields: dict[str, Any]) -> None:
    """Print the result of a command, as `to_json` makes it, as one JSON document."""
    if not _verbosity.muted:
        header = {"schema_version": SCHEMA_VERSION, "command": command}
        print(json.dumps(header | fields, indent=2, allow_nan=False))


def json_line(fields: dict[str, Any]) -> None:
    """Print one item of a `--jsonl` stream."""
    print(json.dumps(fields, allow_nan=False), flush=True)


def line(text: str = "") -> None:
    """Print one line of the result."""
    if not _verbosity.muted:
        print(printable(text))


def flush() -> None:
    """Send what was printed so far to the reader of standard output."""
    sys.stdout.flush()


def raw(text: str) -> None:
    """Print text unchanged, CSV for example, as UTF-8; bytes of file names that are not UTF-8 are written unchanged."""
    raw_bytes(text.encode(errors="surrogateescape"))


def raw_bytes(content: bytes) -> None:
    """Print bytes unchanged, an image for example."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], numeric: Collection[str] = (), *, is_plain: bool = False
) -> None:
    """Print a table. Columns named in `numeric`, and those whose cells are all numbers, are aligned to the right.

    Long and plain tables are plain lines, which cost a twentieth of the time.
    """
    is_right = [
        name in numeric or (bool(rows) and all(isinstance(row[i], int | float) for row in rows))
        for i, name in enumerate(columns)
    ]
    cells = [[_encodable(printable(str(cell))) for cell in row] for row in rows]
    if is_plain or len(rows) > _MOST_STYLED_ROWS:
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        for row in (columns, *cells):
            padded = [
                f"{cell:{'>' if right else '<'}{n}}" for cell, right, n in zip(row, is_right, widths, strict=True)
            ]
            line("  ".join(padded).rstrip())
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, right in zip(columns, is_right, strict=True):
        view.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in cells:
        view.add_row(*map(Text, row))
    _print_styled(view)


def _print_styled(shown: "Table | Text") -> None:
    """Print to stdout with styles and colors where it has them; lines do not end in blanks."""
    if not _verbosity.muted:
        console = _console(sys.stdout)
        with console.capture() as captured:
            console.print(shown)
        print("\n".join(text.rstrip() for text in captured.get().rstrip("\n").split("\n")))


def weighed_words(words: Sequence[tuple[str, float]]) -> None:
    """Print words in one paragraph, each with a weight of -1 to 1: blue above 0, yellow below, strong ones reversed.

    Where colors are off, the words are plain.
    """
    from rich.text import Text

    shown = Text()
    for position, (word, weight) in enumerate(words):
        strength = next((style for least, style in _WORD_STYLES if abs(weight) >= least), "")
        color = ("blue" if weight > 0 else "yellow") if strength else ""
        shown.append(" " if position else "")
        shown.append(_encodable(printable(word)), style=f"{strength} {color}".strip())
    _print_styled(shown)


def _encodable(text: str) -> str:
    """Escape what stdout cannot encode, before the columns of a table are measured."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def detail(label: str, text: str) -> None:
    """Print a labeled line to stderr with `--verbose`."""
    if _verbosity.verbose:
        status(label, text)


def status(label: str, text: str) -> None:
    """Print a labeled line to stderr, on which data or how far a command works; not with `--quiet`."""
    _remark(f"{label}: {text}")


def sample(text: str) -> None:
    """Print generated text to stderr, line by line behind a bar; not with `--quiet`."""
    for row in text.strip("\n").splitlines():
        _remark(f"  | {row}")


def note(text: str) -> None:
    """Print a note to stderr, on what a user may not expect; not with `--quiet`."""
    _remark(f"dlnotes: note: {text}")


def warn(text: str) -> None:
    """Print a warning to stderr, on what a user may want to change; not with `--quiet`."""
    _remark(f"dlnotes: warning: {text}")


def _remark(text: str) -> None:
    if not _verbosity.quiet:
        _print_to_stderr(printable(text))


def error(problem: "DlnotesError", *, is_of_process: bool = False) -> None:
    """Print an error to stderr, in one line; if muted, only one that no other process of the run has."""
    if is_of_process or not _verbosity.muted:
        _print_to_stderr(printable(f"dlnotes: error: {problem}"))


def bug(report: str) -> None:
    """Print the traceback of a bug, the only one that dlnotes prints."""
    request = "this is a bug in dlnotes; please report it with the output of `dlnotes doctor --json`"
    _print_to_stderr(f"{report}\ndlnotes: {request}")


def _print_to_stderr(text: str) -> None:
    """Print to stderr; if that fails, the command continues all the same."""
    with suppress(OSError):
        print(text, file=sys.stderr)


class Progress:
    """The progress of a piece of work: a live bar on a terminal, a few plain lines elsewhere."""

    def __init__(self, label: str, live: "Live | None" = None) -> None:
        self._label, self._live = printable(label), live
        self._started = self._line_at = time.monotonic()
        self._first_fraction: float | None = None
        self._shown_at = 0.0
        self._lines = 0

    def update(self, fraction: float, text: Callable[[], str] = str) -> None:
        """Show that `fraction` (0 to 1) is done; `text` is called only when it is shown, so any step may call this."""
        now = time.monotonic()
        if self._first_fraction is None:
            self._first_fraction, self._started = fraction, now
        if _verbosity.quiet or now - self._shown_at < _REFRESH_S:
            return
        self._shown_at = now
        if self._live is not None:
            self._live.update(_bar(self._label, fraction, self._time_left(fraction, now), printable(text())))
        elif int(fraction * _PLAIN_LINES) > self._lines or now - self._line_at >= _PLAIN_LINE_S:
            self._lines, self._line_at = int(fraction * _PLAIN_LINES), now
            parts = (f"{fraction:4.0%}", text(), self._time_left(fraction, now))
            status(self._label, "  ".join(part for part in parts if part))

    def _time_left(self, fraction: float, now: float) -> str:
        """The remaining time at the pace of this process, which may have resumed a run."""
        done = fraction - (self._first_fraction or 0.0)
        left = (now - self._started) * (1 - fraction) / done if done > 0 else 0.0
        return f"{duration(left)} left" if left >= 1 else ""


def _bar(label: str, fraction: float, left: str, text: str) -> "Group":
    """Label, bar, percentage and time left, and a line of text below; no name is read as markup, no line is broken."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    def plain(text: str) -> Text:
        return Text(text, no_wrap=True, overflow="ellipsis")

    first = Table.grid(padding=(0, 1))
    for width in (None, _BAR_WIDTH, len("100%"), len("59 min 59 s left")):
        first.add_column(min_width=width, no_wrap=True)
    first.add_row(plain(label), ProgressBar(1.0, fraction, _BAR_WIDTH), plain(f"{fraction:4.0%}"), plain(left))
    return Group(first, plain(f"  {text}")) if text else Group(first)


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """Show the progress of a piece of work while the block runs."""
    if _verbosity.quiet or not _is_live(sys.stderr):
        yield Progress(label)
        return
    from rich.live import Live

    first = _bar(printable(label), 0.0, "", "")
    console = _console(sys.stderr)
    with Live(first, console=console, transient=True, refresh_per_second=10, redirect_stdout=False) as live:
        yield Progress(label, live)


def _is_live(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}


def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    is_sized = stream.isatty() or os.environ.get("COLUMNS", "")
    return Console(file=stream, width=None if is_sized else _PIPED_WIDTH, highlight=False, soft_wrap=False)
