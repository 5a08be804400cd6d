"""Text files and other text sources, decoded in chunks to Unicode code points; no file is read into one string."""

import codecs
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.walk import TEXTS, walk
from dlnotes_cli.shell.errors import InputError, unreadable
from dlnotes_cli.shell.files import user_path

_CHUNK = 1 << 20  # bytes per read
_SURROGATES = 0xD800, 0xDFFF  # halves of the pairs of UTF-16; none is a character on its own
_BOM = "\ufeff"
_MARKED = {  # encodings by the byte-order mark that a text starts with, the longest first
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
_LONGEST_MARK = 4  # bytes
_UNREADABLE_FIX = "name a readable text file"
_MOST_BYTES = 1 << 31  # of all texts: they are held in memory, one to four bytes for each character


@dataclass(frozen=True)
class TextSource:
    """A text to read: a file, or bytes in memory where `path` is None."""

    name: str
    path: Path | None
    content: bytes = b""

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.content) if self.path is None else self.path.stat().st_size

    def chunks(self) -> Iterator[bytes]:
        """The bytes in order, in non-empty chunks. Raises InputError if the file cannot be read."""
        try:
            with self._open() as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise unreadable(self.path or self.name, error, _UNREADABLE_FIX) from error

    def _open(self) -> IO[bytes]:
        if self.path is None:
            return io.BytesIO(self.content)
        check_regular(self.path)
        return self.path.open("rb")


def find_text_sources(arguments: Sequence[str]) -> list[TextSource]:
    """The sources that command-line arguments name: files, the texts in a folder sorted by name, `-` for stdin."""
    if list(arguments).count("-") > 1:
        raise InputError("TEXT", "- appears twice, but standard input can be read only once", "drop one")
    sources = [source for argument in arguments for source in _sources(argument)]
    size = sum(source.size for source in sources)
    if size > _MOST_BYTES:
        what = f"{size:,} bytes of text, more than the {_MOST_BYTES:,} that are read into memory"
        raise InputError("TEXT", what, "name a shorter text, or a part of this one")
    return sources


def python_help() -> TextSource:
    """The help texts that come with Python, about 465,000 characters of English."""
    from pydoc_data.topics import topics

    return TextSource("python-help", None, "\n".join(topics[name] for name in sorted(topics)).encode())


def read_code_points(
    source: TextSource, preprocessing: TextPreprocessing, encoding: str | None
) -> Iterator[NDArray[np.uint32]]:
    """The preprocessed characters of a text as code points (N,), chunk by chunk.

    Raises InputError at the first bytes that are not valid in the encoding, which is as `encoding_of` says.
    """
    pieces = _decode(source, encoding)
    if preprocessing.newline == "translate":
        pieces = _translate_newlines(pieces)
    for piece in pieces:
        codes = code_points(lowercase(piece) if preprocessing.lower else piece)
        _check_no_surrogates(codes, source)
        if len(codes):
            yield codes


def encoding_of(start: bytes, encoding: str | None) -> str:
    """The encoding of a text that starts with some bytes: the one that is named, that of a byte-order mark, or UTF-8.

    Raises InputError for a name that is no encoding of text.
    """
    if encoding is None:
        return next((name for mark, name in _MARKED.items() if start.startswith(mark)), "utf-8")
    _decoder(encoding)
    return encoding


def code_points(text: str) -> NDArray[np.uint32]:
    """The code points (N,) of a string of N characters."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def lowercase(text: str) -> str:
    """The text in lower case, character by character.

    Python lowercases a sigma by its neighbors, to U+03C3 or U+03C2; here it is always U+03C3, so that the position of
    chunk boundaries has no effect.
    """
    return text.replace("\u03a3", "\u03c3").lower()


def _sources(argument: str) -> list[TextSource]:
    if argument == "-":
        return [TextSource("stdin", None, sys.stdin.buffer.read(_MOST_BYTES + 1))]
    path = user_path(argument)
    try:
        if not path.is_dir():
            path.stat()
            return [TextSource(argument, path)]
        files = [Path(entry.path) for entry in walk(str(path), TEXTS)]
    except OSError as error:
        raise unreadable(path, error, _UNREADABLE_FIX) from error
    if not files:
        raise InputError(path, f"contains no text files ({', '.join(sorted(TEXTS))})", "name the files themselves")
    return [TextSource(str(file), file) for file in files]


def _decode(source: TextSource, named: str | None) -> Iterator[str]:
    """The text of a source, decoded chunk by chunk."""
    chunks, start = source.chunks(), b""
    while len(start) < _LONGEST_MARK and (more := next(chunks, b"")):
        start += more
    encoding = encoding_of(start, named)
    decoder = _decoder(encoding)
    offset = 0
    for chunk in chain([start] if start else [], chunks, [b""]):
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            raise _decoding_error(source, error, chunk, offset - pending, encoding) from error
        offset += len(chunk)
        yield text


def _translate_newlines(pieces: Iterator[str]) -> Iterator[str]:
    """The text with every line end as a newline character, and without its byte-order mark."""
    decoder = io.IncrementalNewlineDecoder(None, translate=True)
    at_start = True
    for piece in pieces:
        yield decoder.decode(piece.removeprefix(_BOM) if at_start else piece)
        at_start = at_start and not piece
    yield decoder.decode("", final=True)


def _check_no_surrogates(codes: NDArray[np.uint32], source: TextSource) -> None:
    surrogates = codes[(codes >= _SURROGATES[0]) & (codes <= _SURROGATES[1])]
    if len(surrogates):
        what = f"contains U+{surrogates[0]:04X}, an unpaired surrogate"
        raise InputError(source.path or source.name, what, "fix the text, or use --vocab bytes")


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    fix = "use a name that Python knows, such as utf-8, utf-16 or cp1252"
    try:
        codec = codecs.lookup(encoding)
    except LookupError as error:
        raise InputError("--encoding", f"unknown encoding '{encoding}'", fix) from error
    if codec.incrementaldecoder is None or not codec._is_text_encoding:  # noqa: SLF001  # as bytes.decode checks
        raise InputError("--encoding", f"'{encoding}' does not decode bytes to text", fix)
    return codec.incrementaldecoder("strict")


def _decoding_error(source: TextSource, error: UnicodeError, chunk: bytes, offset: int, encoding: str) -> InputError:
    where = source.path or source.name
    if not isinstance(error, UnicodeDecodeError):
        return InputError(where, f"is not valid {encoding} ({error})", "pass another --encoding")
    byte = error.object[error.start] if error.start < len(error.object) else chunk[0]
    what = f"byte 0x{byte:02x} at offset {offset + error.start:,} is not valid {encoding}"
    likely = "latin-1" if encoding == "cp1252" else "cp1252"
    return InputError(where, what, f"pass --encoding ({likely} for example), or train with --vocab bytes")
