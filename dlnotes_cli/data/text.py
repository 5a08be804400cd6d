"""Texts as tokens, one small number for a character or a byte; files are read in pieces and never as whole strings."""

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
_CHUNK = 1 << 20  # bytes read at once
_CODES = 0x110000  # that Unicode has
_BYTES = 256
_SURROGATES = 0xD800, 0xDFFF  # which stand for half a character in UTF-16, and for none alone
_BOM = "\ufeff"
_TEXT_FIX = "give a text file"
_SHOWN = 8  # unknown characters that an error names


@dataclass(frozen=True)
class Source:
    """A text that can be read: a file, or what is in memory already."""

    name: str
    path: Path | None
    content: bytes = b""

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content) if self.path is None else self.path.stat().st_size

    def chunks(self) -> Iterator[bytes]:
        """The bytes in order. Raises InputError where the file cannot be read."""
        try:
            with self._opened() as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise unreadable(self.path or self.name, error, _TEXT_FIX) from error

    def _opened(self) -> IO[bytes]:
        if self.path is None:
            return io.BytesIO(self.content)
        check_regular(self.path)
        return self.path.open("rb")


@dataclass(frozen=True)
class Text:
    """Texts one after the other: tokens (N,), and where each begins and the last ends."""

    tokens: Tokens
    bounds: tuple[int, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def part(self, start: int, stop: int) -> "Text":
        """Tokens start to stop, with the ends of texts between them."""
        kept = [i for i in range(len(self.names)) if self.bounds[i] < stop and self.bounds[i + 1] > start]
        edges = [max(self.bounds[i], start) - start for i in kept]
        return Text(self.tokens[start:stop], (*edges, stop - start), tuple(self.names[i] for i in kept))

    @property
    def predicted(self) -> int:
        """Characters that something comes before: all but the first of each text."""
        return sum(max(stop - start - 1, 0) for start, stop in pairwise(self.bounds))

    def fingerprint(self, form: TextPreprocessing) -> str:
        """A SHA-256 of the tokens, of what they stand for, and of where texts begin."""
        digest = hashlib.sha256(repr((self.bounds, form.unit, form.characters)).encode())
        digest.update(np.ascontiguousarray(self.tokens).data)
        return digest.hexdigest()


def find_sources(words: Sequence[str]) -> list[Source]:
    """The texts that `words` name: files, the texts below a folder in order of their names, `-` for stdin."""
    if list(words).count("-") > 1:
        raise InputError("TEXT", "- is given twice, stdin can be read once", "drop one")
    return [source for word in words for source in _sources(word)]


def help_texts() -> Source:
    """The help texts that come with Python, about 465,000 characters of English."""
    from pydoc_data.topics import topics

    return Source("python-help", None, "\n".join(topics[name] for name in sorted(topics)).encode())


def read_text(
    sources: Sequence[Source], form: TextPreprocessing, encoding: str | None
) -> tuple[Text, TextPreprocessing]:
    """Read texts whose vocabulary is not known yet; returns them with `form` completed by what they have.

    Raises InputError for bytes that are not text in `encoding`.
    """
    if form.unit == "bytes":
        return _read_bytes(sources), form
    table = np.full(_CODES, -1, np.int32)  # code point to provisional token
    store = _Store(sum(source.size for source in sources))
    known, bounds = 0, [0]
    for source in sources:
        for codes in code_points(source, form, encoding):
            fresh = np.unique(codes[table[codes] < 0])
            table[fresh] = np.arange(known, known + len(fresh))
            known += len(fresh)
            store.add(table[codes], known)
        bounds.append(store.used)
    characters = np.flatnonzero(table >= 0)
    order = np.empty(known, np.int32)
    order[table[characters]] = np.arange(known)
    tokens = store.translated(order)
    vocabulary = "".join(map(chr, characters.tolist()))
    return Text(tokens, tuple(bounds), tuple(source.name for source in sources)), replace(form, characters=vocabulary)


def encode_text(
    sources: Sequence[Source], form: TextPreprocessing, encoding: str | None, *, on_unknown: Literal["error", "skip"]
) -> Text:
    """Read texts with a known vocabulary. Raises InputError naming the characters that are not in it."""
    if form.unit == "bytes":
        return _read_bytes(sources)
    encoder = Encoder(form)
    store = _Store(sum(source.size for source in sources))
    bounds = [0]
    for source in sources:
        read = 0
        for codes in code_points(source, form, encoding):
            store.add(encoder.tokens(codes, source.name, on_unknown), len(form.characters))
            read += len(codes)
        _tell_skipped(source.name, read - (store.used - bounds[-1]))
        bounds.append(store.used)
    return Text(store.translated(None), tuple(bounds), tuple(source.name for source in sources))


class Encoder:
    """Code points to the tokens of a vocabulary."""

    def __init__(self, form: TextPreprocessing) -> None:
        self._form = form
        self._table = np.full(_CODES, -1, np.int32)
        self._table[np.frombuffer(_utf_32(form.characters), np.uint32)] = np.arange(len(form.characters))

    def tokens(self, codes: NDArray[np.uint32], where: str, on_unknown: Literal["error", "skip"]) -> NDArray[np.int32]:
        """Tokens of code points; those that are not known are an error that names them, or left out."""
        found = self._table[codes]
        if found.size and found.min() < 0:
            if on_unknown == "error":
                unknown = "".join(map(chr, np.unique(codes[found < 0]).tolist()))
                more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
                named = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in unknown[:_SHOWN])
                what = f"has characters that the model does not know: {named}{more}"
                raise InputError(where, what, "take them out, or pass --on-unknown skip")
            found = found[found >= 0]
        return found

    def encode(self, text: str, where: str, on_unknown: Literal["error", "skip"]) -> NDArray[np.int32]:
        """Tokens of a string that was typed, a prime for example."""
        if self._form.unit == "bytes":
            return np.frombuffer(os.fsencode(text), np.uint8).astype(np.int32)
        text = small(text) if self._form.lower else text
        if self._form.newline == "translate":
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        found = self.tokens(np.frombuffer(_utf_32(text), np.uint32), where, on_unknown)
        _tell_skipped(where, len(text) - len(found) if len(found) else 0)  # of nothing left, an error tells
        return found


def small(text: str) -> str:
    """Small letters; a sigma (U+03A3, U+03C3) is the same one everywhere, so that none depends on its neighbors."""
    return text.replace("\u03a3", "\u03c3").lower()


def decoded(tokens: NDArray[np.integer], form: TextPreprocessing) -> str:
    """The characters of tokens (N,); bytes that are not ASCII stand as surrogates, as in the names of files."""
    if form.unit == "bytes":
        return os.fsdecode(tokens.astype(np.uint8).tobytes())
    return "".join(form.characters[token] for token in tokens.tolist())


def readable(text: str) -> str:
    """A text whose bytes stand as surrogates, as UTF-8; U+FFFD where they are not that."""
    return os.fsencode(text).decode(errors="replace")


def code_points(source: Source, form: TextPreprocessing, encoding: str | None) -> Iterator[NDArray[np.uint32]]:
    """The characters of a text as code points, chunk by chunk. Raises InputError at the first byte that is not text."""
    decoder = _decoder(encoding or "utf-8")
    translate = io.IncrementalNewlineDecoder(None, translate=True) if form.newline == "translate" else None
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
        text = small(text) if form.lower else text
        if text:
            codes = np.frombuffer(_utf_32(text), np.uint32)
            halves = codes[(codes >= _SURROGATES[0]) & (codes <= _SURROGATES[1])]
            if len(halves):
                what = f"has U+{halves[0]:04X}, one half of a character"
                raise InputError(source.path or source.name, what, "mend it, or use --vocab bytes")
            yield codes
        if not chunk:
            return


def _utf_32(text: str) -> bytes:
    return text.encode("utf-32-le", "surrogatepass")


def _tell_skipped(where: str, count: int) -> None:
    if count:
        output.warn(f"{where}: left out {count:,} characters that the model does not know")


class _Store:
    """Tokens as they come, in as few bytes each as they need."""

    def __init__(self, most: int) -> None:
        self._values: Tokens = np.empty(most, np.uint8)  # memory that is not written is not taken
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

    def translated(self, order: NDArray[np.int32] | None) -> Tokens:
        """The tokens, each replaced by its entry in `order`."""
        values = self._values[: self.used]
        if order is not None:
            for start in range(0, len(values), _CHUNK):
                values[start : start + _CHUNK] = order[values[start : start + _CHUNK]]
        return values


def _read_bytes(sources: Sequence[Source]) -> Text:
    store, bounds = _Store(sum(source.size for source in sources)), [0]
    for source in sources:
        for chunk in source.chunks():
            store.add(np.frombuffer(chunk, np.uint8), _BYTES)
        bounds.append(store.used)
    return Text(store.translated(None), tuple(bounds), tuple(source.name for source in sources))


def _sources(word: str) -> list[Source]:
    if word == "-":
        return [Source("stdin", None, sys.stdin.buffer.read())]
    path = user_path(word)
    try:
        if not path.is_dir():
            path.stat()
            return [Source(word, path)]
        found = [Path(entry.path) for entry in walk(str(path), TEXTS)]
    except OSError as error:
        raise unreadable(path, error, _TEXT_FIX) from error
    if not found:
        raise InputError(path, f"is a folder without texts ({', '.join(sorted(TEXTS))})", "name the files themselves")
    return [Source(str(file), file) for file in found]


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    fix = "give one that Python knows, utf-8, utf-16 or cp1252 for example"
    try:
        found = codecs.lookup(encoding)
    except LookupError as error:
        raise InputError("--encoding", f"unknown encoding '{encoding}'", fix) from error
    if found.incrementaldecoder is None or not found._is_text_encoding:  # noqa: SLF001  # as bytes.decode asks
        raise InputError("--encoding", f"'{encoding}' does not make text of bytes", fix)
    return found.incrementaldecoder("strict")


def _not_text(source: Source, error: UnicodeError, chunk: bytes, offset: int, encoding: str) -> InputError:
    where = source.path or source.name
    if not isinstance(error, UnicodeDecodeError):
        return InputError(where, f"is not {encoding} ({error})", "give another --encoding")
    byte = error.object[error.start] if error.start < len(error.object) else chunk[0]
    what = f"byte 0x{byte:02x} at offset {offset + error.start:,} is not {encoding}"
    likely = "utf-16" if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "cp1252"
    likely = "latin-1" if likely == encoding else likely
    return InputError(where, what, f"give its --encoding ({likely} for example), or train on --vocab bytes")
