"""Layer lists and Python code from files and standard input."""

import os
import re
from typing import NamedTuple

from dlnotes_cli.shapes.parsing.layer_list import LayerList, needs_run, parse_layers, parse_list
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.limited_input import read_file, read_stdin

MAX_FILE_BYTES = 2**20  # a thousand layers need 40 KB
_FILE_AND_MODULE = re.compile(r"(?P<file>[^():;,\n]+\.py)(?::(?P<module>[A-Za-z_].*))?", re.DOTALL)


class Source(NamedTuple):
    """A text and where it is from: `file` is empty for an argument, `module` is what `net.py:Net(10)` names in it."""

    text: str
    file: str = ""
    module: str = ""

    @property
    def is_code(self) -> bool:
        """Whether it is Python code that must run to show its layers; an argument never is."""
        return bool(self.module) or (bool(self.file) and needs_run(self.text))

    @property
    def layers(self) -> LayerList:
        """The layers of a list or printed model; raises InputError for other text."""
        return parse_list(self.text, self.file)


def read_source(name: str) -> Source:
    """The text of a file, perhaps followed by a colon and a module, or of standard input for `-`; raises InputError."""
    found = _FILE_AND_MODULE.fullmatch(name)
    if found is None:
        return Source(*_read(name))
    return Source(*_read(found["file"]), found["module"] or "")


def is_file_name(text: str) -> bool:
    """Whether an argument names standard input or a file of code, and is no layer list itself."""
    if _FILE_AND_MODULE.fullmatch(text):
        return True
    if "(" in text or "\n" in text or text.isidentifier():
        return False
    return text == "-" or os.path.isfile(text)  # noqa: PTH113  # Path raises for long texts


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
