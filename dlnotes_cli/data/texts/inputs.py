"""Texts from command-line arguments: the text itself, text files, rows of CSV files, lines of standard input."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlnotes_cli.data.listing import TEXTS
from dlnotes_cli.data.options import TABLE_SUFFIXES
from dlnotes_cli.data.table import read_table
from dlnotes_cli.data.texts.files import check_stdin_once, read_sample, sample_text, text_files
from dlnotes_cli.data.texts.labeled import texts_of_table
from dlnotes_cli.data.texts.preprocessing import DocumentPreprocessing
from dlnotes_cli.shell.errors import DlnotesError, InputError
from dlnotes_cli.shell.files import read_stdin, user_path

STDIN = "-"
_MOST_STDIN = 1 << 30  # bytes
_LONGEST_NAME = 4096  # characters of a path


@dataclass(frozen=True)
class NamedText:
    """A text with what names it in results; with an `error`, none could be read."""

    item: str
    text: str
    error: DlnotesError | None = None


def text_paths(arguments: Sequence[str]) -> list[str | Path]:
    """The files that arguments name, in order; an argument that names none is a text, and `-` is standard input.

    A folder stands for the text files below it, a pattern for its matches. Raises InputError for an argument that looks
    like the path of a text or table and does not exist, and for a folder without texts.
    """
    check_stdin_once(arguments, "PATH")
    return [source for argument in arguments for source in _sources(argument)]


def read_texts(
    sources: Sequence[str | Path], column: str | None, trained: DocumentPreprocessing
) -> Iterator[NamedText]:
    """The texts of files, of arguments and of standard input, in order; `column` is that of CSV files.

    Without a column it is that of the training texts, as is the encoding of files. A text that cannot be read or is
    empty has an error.
    """
    for source in sources:
        if source == STDIN:
            yield from _lines_of_stdin()
        elif isinstance(source, str):
            yield named_text(source)
        elif source.suffix.lower() in TABLE_SUFFIXES:
            yield from _rows(source, column or trained.text_column, trained.encoding)
        else:
            yield _of_file(source, trained.encoding)


def _sources(argument: str) -> list[str | Path]:
    if argument == STDIN:
        return [argument]
    path = user_path(argument)
    try:
        if len(argument) <= _LONGEST_NAME and path.exists():
            return [*text_files(argument)]
    except (OSError, ValueError):  # too long, or with characters that no path has
        return [argument]
    if any(character.isspace() for character in argument):
        return [argument]
    matches = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(argument) else []  # noqa: PTH207
    if matches:
        return [match for name in matches for match in _sources(name)]
    if path.suffix.lower() in TEXTS | TABLE_SUFFIXES or "/" in argument:
        raise InputError(path, "no such file", "check the path; a text may contain a space in front of it")
    return [argument]


def named_text(text: str, item: str = "", where: object = "TEXT") -> NamedText:
    """A text with what names it, or that names itself; an empty one has an error."""
    if text.strip():
        return NamedText(item or text, text)
    return NamedText(item or text, "", InputError(where, "the text is empty", "drop it, or pass --skip-bad"))


def _of_file(path: Path, encoding: str | None) -> NamedText:
    try:
        return named_text(read_sample(path, encoding), str(path), path)
    except DlnotesError as error:
        return NamedText(str(path), "", error)


def _rows(path: Path, column: str, encoding: str | None) -> Iterator[NamedText]:
    cells = read_table(path, encoding=encoding)
    name = column if column in cells.header or len(cells.header) > 1 else cells.header[0]
    for line, text in zip(cells.lines, texts_of_table(cells, name), strict=True):
        item = f"{path}:{line}"
        yield named_text(text, item, item)


def _lines_of_stdin() -> Iterator[NamedText]:
    """Each line of standard input that is not blank."""
    text = sample_text("stdin", read_stdin(_MOST_STDIN, "give fewer lines"))
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield NamedText(f"stdin:{number}", line.strip())
