"""Layer lists from text, files and standard input."""

import sys
from pathlib import Path

from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.parser import parse_layers
from dlnotes_cli.shell.errors import InputError, unreadable
from dlnotes_cli.shell.files import user_path

MAX_BYTES = 2**20  # of a layer list; a thousand layers take 40 KB


def read_layers(name: str) -> tuple[Layer, ...]:
    """The layers of a file, or of standard input where `name` is `-`. Raises InputError."""
    return parse_layers(*_content(name))


def layers_text(text_or_name: str) -> str:
    """The text of a layer list, given as that text, as the name of a file, or as `-` for standard input.

    Raises InputError where it cannot be read or is not a layer list.
    """
    text, source = (text_or_name, "") if "(" in text_or_name else _content(text_or_name)
    parse_layers(text, source)
    return text


def _content(name: str) -> tuple[str, str]:
    """The text of a file or of stdin, and its name in errors."""
    source = "stdin" if name == "-" else str(user_path(name))
    try:
        if name == "-":
            content = sys.stdin.buffer.read(MAX_BYTES + 1) if sys.stdin else b""  # None where it is closed
        else:
            with Path(source).open("rb") as stream:
                content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(source, error) from error
    if len(content) > MAX_BYTES:
        raise InputError(source, f"is longer than {MAX_BYTES:,} bytes", "give a layer list")
    try:
        return content.decode("utf-8-sig"), source
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{source}, line {line}", "not UTF-8 text", "give a file of PyTorch code") from error
