"""Layer lists from files and standard input."""

import os
import stat
import sys
from pathlib import Path

from dlnotes_cli.shapes.graph import Network
from dlnotes_cli.shapes.parsing.layer_list import parse_layers, parse_network
from dlnotes_cli.shell.errors import InputError, unreadable
from dlnotes_cli.shell.files import user_path

_OPEN_STREAMS = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")  # a shell has opened their other end
MAX_FILE_BYTES = 2**20  # a thousand layers need 40 KB


def read_network(name: str) -> Network:
    """Parse the layers in a file, or on standard input if `name` is `-`; raises InputError."""
    return parse_network(*_read(name))


def is_file_name(text: str) -> bool:
    """Whether an argument names standard input or a file of code, and is no layer list itself."""
    if "(" in text or "\n" in text or text.isidentifier():
        return False
    return text == "-" or text.endswith(".py") or os.path.isfile(text)  # noqa: PTH113  # Path raises for long texts


def layers_text(text_or_name: str) -> str:
    """The text of a layer list: the argument itself, or the content of a file or, for `-`, of standard input.

    Raises InputError where it cannot be read or is not a layer list.
    """
    text, source = (text_or_name, "") if "(" in text_or_name else _read(text_or_name)
    parse_layers(text, source)
    return text


def _read(name: str) -> tuple[str, str]:
    """The text of a file or of standard input, and its name in errors."""
    source = "stdin" if name == "-" else str(user_path(name))
    try:
        if name == "-":
            content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1) if sys.stdin else b""  # None if it is closed
        else:
            _check_ends(source)
            with Path(source).open("rb") as stream:
                content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise unreadable(source, error) from error
    if len(content) > MAX_FILE_BYTES:
        raise InputError(source, f"is longer than {MAX_FILE_BYTES:,} bytes", "use a file with a layer list only")
    try:
        return content.decode("utf-8-sig"), source
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{source}, line {line}", "not UTF-8 text", "use a file of PyTorch code") from error


def _check_ends(source: str) -> None:
    """Raise InputError for a named pipe or a device, which may wait for ever; the pipe of `<(command)` is read."""
    mode = Path(source).stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or source.startswith(_OPEN_STREAMS)):
        raise InputError(source, "is not a file", "use a file of PyTorch code, or - for standard input")
