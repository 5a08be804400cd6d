"""Layer lists from files and standard input."""

import os

from dlnotes_cli.shapes.graph import Network
from dlnotes_cli.shapes.parsing.layer_list import parse_layers, parse_network
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.limited_input import read_file, read_stdin

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
    shorter = "use a file with a layer list only"
    if name == "-":
        content = read_stdin(MAX_FILE_BYTES, shorter)
    else:
        instead = "use a file of PyTorch code, or - for standard input"
        content = read_file(user_path(name), MAX_FILE_BYTES, shorter, instead)
    try:
        return content.decode("utf-8-sig"), source
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{source}, line {line}", "not UTF-8 text", "use a file of PyTorch code") from error
