"""Reading of short inputs: a file or standard input, at most so many bytes."""

import stat
import sys
from pathlib import Path

from dlnotes_cli.shell.errors import InputError, unreadable

OPEN_STREAMS = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")  # a shell has opened their other end


def read_file(path: Path, most: int, shorter: str, instead: str = "save its content to a file first") -> bytes:
    """The content of a file.

    Raises InputError for one that cannot be read; for a named pipe or a device, which may wait for ever (fix:
    `instead`), but not for the pipe of `<(command)`; and for more than `most` bytes (fix: `shorter`).
    """
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or str(path).startswith(OPEN_STREAMS)):
            raise InputError(path, "is not a file", instead)
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    return _checked(content, path, most, shorter)


def read_stdin(most: int, shorter: str) -> bytes:
    """The content of standard input, empty if it is closed. Raises InputError for more than `most` bytes."""
    content = sys.stdin.buffer.read(most + 1) if sys.stdin else b""
    return _checked(content, "stdin", most, shorter)


def _checked(content: bytes, where: object, most: int, shorter: str) -> bytes:
    if len(content) > most:
        raise InputError(where, f"is longer than {most:,} bytes", shorter)
    return content
