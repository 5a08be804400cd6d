"""Text files and other sources of text, and the text that their bytes stand for."""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlnotes_cli.data.listing import TEXTS, walk
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.shell.errors import InputError, unreadable
from dlnotes_cli.shell.files import read_file, read_stdin, user_path

BOM = "\ufeff"
_MARKED = {  # encodings by the byte-order mark that a text starts with, the longest first
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
_SURROGATE = re.compile("[\ud800-\udfff]")  # half of a pair of UTF-16; none is a character on its own
_MOST_BYTES, _SHORTER = (
    1 << 31,
    "name a shorter text, or a part of this one",
)  # of all texts, which are read into memory
_MOST_TEXT_BYTES = 1 << 24  # of a file that is one sample
NUL = "\0"


@dataclass(frozen=True)
class TextSource:
    """A text to read: a file, or bytes in memory where `path` is None."""

    name: str
    path: Path | None
    content: bytes = b""

    @property
    def size(self) -> int:
        """Size in bytes. Raises InputError for a missing file."""
        if self.path is None:
            return len(self.content)
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise unreadable(self.path, error, "name a readable text file") from error

    def read_bytes(self) -> bytes:
        """The bytes of the text. Raises InputError if the file cannot be read."""
        return self.content if self.path is None else read_file(self.path, _MOST_BYTES, _SHORTER)

    def read(self, preprocessing: TextPreprocessing, encoding: str | None) -> str:
        """The preprocessed text. Raises InputError as `decoded`, and for half of a pair of UTF-16."""
        where = self.path or self.name
        likely = "latin-1" if encoding == "cp1252" else "cp1252"
        fix = f"pass --encoding ({likely} for example), or train with --vocab bytes"
        text = preprocessed(decoded(where, self.read_bytes(), encoding, fix), preprocessing)
        if surrogate := _SURROGATE.search(text):
            what = f"contains U+{ord(surrogate[0]):04X}, an unpaired surrogate"
            raise InputError(where, what, "fix the text, or use --vocab bytes")
        return text.removeprefix(BOM) if preprocessing.newline == "translate" else text


def find_text_sources(arguments: Sequence[str]) -> list[TextSource]:
    """The sources that command-line arguments name: files, the texts in a folder sorted by name, `-` for stdin."""
    check_stdin_once(arguments, "TEXT")
    sources = [source for argument in arguments for source in _sources(argument)]
    size = sum(source.size for source in sources)
    if size > _MOST_BYTES:
        what = f"{size:,} bytes of text, more than the {_MOST_BYTES:,} that are read into memory"
        raise InputError("TEXT", what, _SHORTER)
    return sources


def check_stdin_once(arguments: Sequence[str], where: str) -> None:
    """Raise InputError where more than one argument is standard input."""
    if list(arguments).count("-") > 1:
        raise InputError(where, "- appears twice, but standard input can be read only once", "drop one")


def text_files(name: str) -> list[Path]:
    """A file, or the text files below a folder. Raises InputError for a folder without any."""
    path = user_path(name)
    if not path.is_dir():
        return [path]
    files = [Path(entry.path) for entry in walk(str(path), TEXTS)]
    if not files:
        raise InputError(path, f"contains no text files ({', '.join(sorted(TEXTS))})", "name the files themselves")
    return files


def python_help() -> TextSource:
    """The help texts that come with Python, about 465,000 characters of English."""
    from pydoc_data.topics import topics

    return TextSource("python-help", None, "\n".join(topics[name] for name in sorted(topics)).encode())


def preprocessed(text: str, preprocessing: TextPreprocessing) -> str:
    """The text with every line end as a newline character, and in lower case, as the preprocessing says.

    Python lowercases a sigma by its neighbors, to U+03C3 or U+03C2; here it is always U+03C3, so that a character alone
    says what it becomes.
    """
    if preprocessing.newline == "translate":
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\u03a3", "\u03c3").lower() if preprocessing.lower else text


def decoded(where: object, content: bytes, encoding: str | None = None, fix: str = "save the file as UTF-8") -> str:
    """The text of bytes in an encoding: the one that is named, that of a byte-order mark, or UTF-8, whose mark stays.

    Raises InputError for a name that is no encoding of text, and naming line and byte of what is not in the encoding.
    """
    used = encoding or next((name for mark, name in _MARKED.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(used)
    except LookupError as error:
        fix = "use a name that Python knows, such as utf-8, utf-16 or cp1252"
        raise InputError("--encoding", f"unknown encoding '{encoding}'", fix) from error
    except UnicodeDecodeError as error:
        offset = min(len(content) - len(error.object) + error.start, len(content) - 1)  # `object` may lack the mark
        line = content.count(b"\n", 0, offset) + 1
        what = f"line {line}: byte {content[offset]:#04x} at offset {offset:,} is not {used.upper()}"
        raise InputError(where, what, fix) from None
    except UnicodeError as error:
        raise InputError(where, f"is not {used.upper()} ({error})", fix) from error


def sample_text(where: object, content: bytes, encoding: str | None = None) -> str:
    """The text of one sample without a byte-order mark and surrounding white space.

    Raises InputError as `decoded`, and for a NUL character.
    """
    text = decoded(where, content, encoding).removeprefix(BOM)
    if NUL in text:
        line = text.count("\n", 0, text.index(NUL)) + 1
        raise InputError(where, f"line {line} has a NUL character, which no text has", "save it as UTF-8 text")
    return text.strip()


def read_sample(path: Path, encoding: str | None = None) -> str:
    """The text of a file that is one sample. Raises InputError as `sample_text`, and for a long one."""
    return sample_text(path, read_file(path, _MOST_TEXT_BYTES, "give a shorter text, or split it"), encoding)


def _sources(argument: str) -> list[TextSource]:
    if argument == "-":
        return [TextSource("stdin", None, read_stdin(_MOST_BYTES, _SHORTER))]
    return [TextSource(str(path), path) for path in text_files(argument)]
