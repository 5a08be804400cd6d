"""Texts as tokens, an integer for each character or byte; files are read in chunks, never as whole strings."""

import codecs
import hashlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.walk import TEXTS, walk
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unreadable
from dlnotes_cli.shell.files import user_path

Tokens = NDArray[np.unsignedinteger]
_CHUNK = 1 << 20  # bytes per read
_CODE_POINTS = 0x110000  # of Unicode
_BYTES = 256
_SURROGATES = 0xD800, 0xDFFF  # halves of UTF-16 pairs, not characters
_BOM = "\ufeff"
_TEXT_FIX = "give a text file"
_MOST_NAMED = 8  # unknown characters in an error


@dataclass(frozen=True)
class TextSource:
    """A text to read: a file, or `content` if `path` is None."""

    name: str
    path: Path | None
    content: bytes = b""

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.content) if self.path is None else self.path.stat().st_size

    def chunks(self) -> Iterator[bytes]:
        """The bytes, chunk by chunk. Raises InputError if the file cannot be read."""
        try:
            with self._open() as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise unreadable(self.path or self.name, error, _TEXT_FIX) from error

    def _open(self) -> IO[bytes]:
        if self.path is None:
            return io.BytesIO(self.content)
        check_regular(self.path)
        return self.path.open("rb")


@dataclass(frozen=True)
class Text:
    """Concatenated texts: tokens (N,), names, and the bounds of each text in `tokens`."""

    tokens: Tokens
    bounds: tuple[int, ...]  # start of each text, and the end of the last
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def slice(self, start: int, stop: int) -> "Text":
        """The tokens from `start` to `stop`, with the bounds of the texts between them."""
        texts = [i for i in range(len(self.names)) if self.bounds[i] < stop and self.bounds[i + 1] > start]
        starts = [max(self.bounds[i], start) - start for i in texts]
        return Text(self.tokens[start:stop], (*starts, stop - start), tuple(self.names[i] for i in texts))

    @property
    def predicted(self) -> int:
        """Number of tokens with a previous token to predict them from: all but the first of each text."""
        return sum(max(stop - start - 1, 0) for start, stop in pairwise(self.bounds))

    def fingerprint(self, preprocessing: TextPreprocessing) -> str:
        """A SHA-256 of the tokens, their vocabulary and the bounds of the texts."""
        digest = hashlib.sha256(repr((self.bounds, preprocessing.unit, preprocessing.characters)).encode())
        digest.update(np.ascontiguousarray(self.tokens).data)
        return digest.hexdigest()


def find_sources(arguments: Sequence[str]) -> list[TextSource]:
    """The texts that arguments name: a file, the text files below a folder sorted by name, or `-` for stdin.

    Raises InputError for an argument without texts.
    """
    if list(arguments).count("-") > 1:
        raise InputError("TEXT", "- is repeated, but stdin can be read only once", "drop one")
    return [source for argument in arguments for source in _sources(argument)]


def python_help() -> TextSource:
    """The help texts of the Python installation, about 465,000 characters of English."""
    from pydoc_data.topics import topics

    return TextSource("python-help", None, "\n".join(topics[name] for name in sorted(topics)).encode())


def read_text(
    sources: Sequence[TextSource], preprocessing: TextPreprocessing, encoding: str | None
) -> tuple[Text, TextPreprocessing]:
    """Read texts and build their vocabulary; returns the text, and `preprocessing` with the vocabulary filled in.

    Raises InputError for bytes that are not text in `encoding`.
    """
    if preprocessing.unit == "bytes":
        return _read_bytes(sources), preprocessing
    table = np.full(_CODE_POINTS, -1, np.int32)  # code point -> token in order of first occurrence
    buffer = _TokenBuffer(sum(source.size for source in sources))
    vocabulary_size, bounds = 0, [0]
    for source in sources:
        for codes in code_points(source, preprocessing, encoding):
            new = np.unique(codes[table[codes] < 0])
            table[new] = np.arange(vocabulary_size, vocabulary_size + len(new))
            vocabulary_size += len(new)
            buffer.add(table[codes], vocabulary_size)
        bounds.append(buffer.used)
    characters = np.flatnonzero(table >= 0)
    order = np.empty(vocabulary_size, np.int32)
    order[table[characters]] = np.arange(vocabulary_size)
    tokens = buffer.tokens(order)
    vocabulary = "".join(map(chr, characters.tolist()))
    names = tuple(source.name for source in sources)
    return Text(tokens, tuple(bounds), names), replace(preprocessing, characters=vocabulary)


def encode_text(
    sources: Sequence[TextSource],
    preprocessing: TextPreprocessing,
    encoding: str | None,
    *,
    on_unknown: Literal["error", "skip"],
) -> Text:
    """Read texts with the vocabulary of `preprocessing`.

    Raises InputError naming characters outside the vocabulary, or skips them.
    """
    if preprocessing.unit == "bytes":
        return _read_bytes(sources)
    encoder = Encoder(preprocessing)
    buffer = _TokenBuffer(sum(source.size for source in sources))
    bounds = [0]
    for source in sources:
        characters = 0
        for codes in code_points(source, preprocessing, encoding):
            buffer.add(encoder.tokens(codes, source.name, on_unknown), len(preprocessing.characters))
            characters += len(codes)
        _warn_of_skipped(source.name, characters - (buffer.used - bounds[-1]))
        bounds.append(buffer.used)
    return Text(buffer.tokens(), tuple(bounds), tuple(source.name for source in sources))


class Encoder:
    """Encodes code points as tokens of a vocabulary."""

    def __init__(self, preprocessing: TextPreprocessing) -> None:
        self._preprocessing = preprocessing
        self._table = np.full(_CODE_POINTS, -1, np.int32)
        vocabulary = np.frombuffer(_utf_32(preprocessing.characters), np.uint32)
        self._table[vocabulary] = np.arange(len(vocabulary))

    def tokens(self, codes: NDArray[np.uint32], where: str, on_unknown: Literal["error", "skip"]) -> NDArray[np.int32]:
        """Tokens of code points; unknown ones raise InputError naming them, or are skipped."""
        tokens = self._table[codes]
        if tokens.size and tokens.min() < 0:
            if on_unknown == "error":
                unknown = "".join(map(chr, np.unique(codes[tokens < 0]).tolist()))
                more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
                named = ", ".join(f"{character!r} (U+{ord(character):04X})" for character in unknown[:_MOST_NAMED])
                what = f"has characters outside the model's vocabulary: {named}{more}"
                raise InputError(where, what, "remove them, or pass --on-unknown skip")
            tokens = tokens[tokens >= 0]
        return tokens

    def encode(self, text: str, where: str, on_unknown: Literal["error", "skip"]) -> NDArray[np.int32]:
        """Tokens of a string, for example the prime of a sample; raises InputError as `tokens`."""
        if self._preprocessing.unit == "bytes":
            return np.frombuffer(os.fsencode(text), np.uint8).astype(np.int32)
        text = lowercase(text) if self._preprocessing.lower else text
        if self._preprocessing.newline == "translate":
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        tokens = self.tokens(np.frombuffer(_utf_32(text), np.uint32), where, on_unknown)
        _warn_of_skipped(where, len(text) - len(tokens) if len(tokens) else 0)  # the caller refuses an empty prime
        return tokens


def lowercase(text: str) -> str:
    """Lowercase text; sigma (U+03A3) always becomes U+03C3, so no character depends on its neighbors."""
    return text.replace("\u03a3", "\u03c3").lower()


def decode_tokens(tokens: NDArray[np.integer], preprocessing: TextPreprocessing) -> str:
    """The text of tokens (N,); bytes that are not ASCII become surrogates, as in file names (`os.fsdecode`)."""
    if preprocessing.unit == "bytes":
        return os.fsdecode(tokens.astype(np.uint8).tobytes())
    return "".join(preprocessing.characters[token] for token in tokens.tolist())


def readable(text: str) -> str:
    """A text with the surrogates of `decode_tokens` read as UTF-8, and U+FFFD for invalid bytes."""
    return os.fsencode(text).decode(errors="replace")


def code_points(
    source: TextSource, preprocessing: TextPreprocessing, encoding: str | None
) -> Iterator[NDArray[np.uint32]]:
    """The code points of a text, chunk by chunk. Raises InputError at the first byte that is not in `encoding`."""
    decoder = _decoder(encoding or "utf-8")
    translate = io.IncrementalNewlineDecoder(None, translate=True) if preprocessing.newline == "translate" else None
    offset, at_start = 0, True
    chunks = source.chunks()
    while True:
        chunk = next(chunks, b"")
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            raise _not_text(source, error, chunk, offset - pending, encoding or "utf-8") from error
        offset += len(chunk)
        if translate is not None:
            if at_start and text:
                text, at_start = text.removeprefix(_BOM), False
            text = translate.decode(text, final=not chunk)
        text = lowercase(text) if preprocessing.lower else text
        if text:
            codes = np.frombuffer(_utf_32(text), np.uint32)
            halves = codes[(codes >= _SURROGATES[0]) & (codes <= _SURROGATES[1])]
            if len(halves):
                what = f"has U+{halves[0]:04X}, half of a surrogate pair"
                raise InputError(source.path or source.name, what, "fix it, or use --vocab bytes")
            yield codes
        if not chunk:
            return


def _utf_32(text: str) -> bytes:
    return text.encode("utf-32-le", "surrogatepass")


def _warn_of_skipped(where: str, count: int) -> None:
    if count:
        output.warn(f"{where}: skipped {count:,} characters outside the model's vocabulary")


class _TokenBuffer:
    """Collects tokens in the smallest unsigned type that holds the vocabulary so far."""

    def __init__(self, most: int) -> None:
        self._values: Tokens = np.empty(most, np.uint8)  # pages that are never written use no memory
        self.used = 0

    def add(self, tokens: NDArray[np.integer], vocabulary: int) -> None:
        kind = np.min_scalar_type(max(vocabulary - 1, 0))
        stop = self.used + len(tokens)
        if kind.itemsize > self._values.itemsize or stop > len(self._values):
            larger = np.empty(max(stop, len(self._values)), max(kind, self._values.dtype, key=lambda k: k.itemsize))
            larger[: self.used] = self._values[: self.used]
            self._values = larger
        self._values[self.used : stop] = tokens
        self.used = stop

    def tokens(self, order: NDArray[np.int32] | None = None) -> Tokens:
        """The collected tokens, each replaced by its entry in `order`."""
        values = self._values[: self.used]
        if order is not None:
            for start in range(0, len(values), _CHUNK):
                values[start : start + _CHUNK] = order[values[start : start + _CHUNK]]
        return values


def _read_bytes(sources: Sequence[TextSource]) -> Text:
    buffer, bounds = _TokenBuffer(sum(source.size for source in sources)), [0]
    for source in sources:
        for chunk in source.chunks():
            buffer.add(np.frombuffer(chunk, np.uint8), _BYTES)
        bounds.append(buffer.used)
    return Text(buffer.tokens(), tuple(bounds), tuple(source.name for source in sources))


def _sources(argument: str) -> list[TextSource]:
    if argument == "-":
        return [TextSource("stdin", None, sys.stdin.buffer.read())]
    path = user_path(argument)
    try:
        if not path.is_dir():
            path.stat()
            return [TextSource(argument, path)]
        files = [Path(entry.path) for entry in walk(str(path), TEXTS)]
    except OSError as error:
        raise unreadable(path, error, _TEXT_FIX) from error
    if not files:
        what = f"is a folder without text files ({', '.join(sorted(TEXTS))})"
        raise InputError(path, what, "name the files themselves")
    return [TextSource(str(file), file) for file in files]


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    fix = "use one that Python supports, for example utf-8, utf-16 or cp1252"
    try:
        codec = codecs.lookup(encoding)
    except LookupError as error:
        raise InputError("--encoding", f"unknown encoding '{encoding}'", fix) from error
    if codec.incrementaldecoder is None or not codec._is_text_encoding:  # noqa: SLF001  # as bytes.decode checks
        raise InputError("--encoding", f"'{encoding}' does not decode bytes to text", fix)
    return codec.incrementaldecoder("strict")


def _not_text(source: TextSource, error: UnicodeError, chunk: bytes, offset: int, encoding: str) -> InputError:
    where = source.path or source.name
    if not isinstance(error, UnicodeDecodeError):
        return InputError(where, f"is not {encoding} ({error})", "give another --encoding")
    byte = error.object[error.start] if error.start < len(error.object) else chunk[0]
    what = f"byte 0x{byte:02x} at offset {offset + error.start:,} is not {encoding}"
    likely = "utf-16" if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "cp1252"
    likely = "latin-1" if likely == encoding else likely
    return InputError(where, what, f"give its --encoding ({likely} for example), or train on --vocab bytes")
