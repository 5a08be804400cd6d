"""Texts as arrays of tokens, one for each character or byte, and the vocabulary that maps between the two."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts.files import TextSource, code_points, lowercase, read_code_points
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError

Tokens = NDArray[np.unsignedinteger]
OnUnknown = Literal["error", "skip"]
_CODE_POINTS = 0x110000  # in Unicode
_BYTE_VALUES = 256
_REMAP_CHUNK = 1 << 20  # tokens that are remapped at a time
_MOST_NAMED = 8  # unknown characters that an error names


@dataclass(frozen=True)
class Text:
    """One or more texts joined: tokens (N,), the position where each text starts and the last one ends, their names."""

    tokens: Tokens
    bounds: tuple[int, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def slice(self, start: int, stop: int) -> "Text":
        """Tokens start to stop, with the bounds of the texts among them."""
        inside = [i for i in range(len(self.names)) if self.bounds[i] < stop and self.bounds[i + 1] > start]
        starts = [max(self.bounds[i], start) - start for i in inside]
        return Text(self.tokens[start:stop], (*starts, stop - start), tuple(self.names[i] for i in inside))

    @property
    def predicted(self) -> int:
        """Number of tokens that have a predecessor: all but the first of each text."""
        return sum(max(stop - start - 1, 0) for start, stop in pairwise(self.bounds))

    def fingerprint(self, preprocessing: TextPreprocessing) -> str:
        """SHA-256 of the tokens, the characters they stand for, and the bounds of the texts."""
        digest = hashlib.sha256(repr((self.bounds, preprocessing.unit, preprocessing.characters)).encode())
        digest.update(np.ascontiguousarray(self.tokens).data)
        return digest.hexdigest()


def read_and_build_vocabulary(
    sources: Sequence[TextSource], preprocessing: TextPreprocessing, encoding: str | None
) -> tuple[Text, TextPreprocessing]:
    """Read texts whose vocabulary is not known yet; returns them with `preprocessing`, completed by their characters.

    Raises InputError for bytes that are not valid in `encoding`.
    """
    if preprocessing.unit == "bytes":
        return _read_bytes(sources), preprocessing
    table = np.full(_CODE_POINTS, -1, np.int32)  # code point to provisional token, in order of appearance
    buffer = _TokenBuffer(sum(source.size for source in sources))
    size, bounds = 0, [0]
    for source in sources:
        for codes in read_code_points(source, preprocessing, encoding):
            added = np.unique(codes[table[codes] < 0])
            table[added] = np.arange(size, size + len(added))
            size += len(added)
            buffer.append(table[codes], size)
        bounds.append(buffer.length)
    sorted_codes = np.flatnonzero(table >= 0)
    final_tokens = np.empty(size, np.int32)  # provisional token to token
    final_tokens[table[sorted_codes]] = np.arange(size)
    buffer.remap(final_tokens)
    characters = "".join(map(chr, sorted_codes.tolist()))
    return _joined(buffer, bounds, sources), replace(preprocessing, characters=characters)


def read_with_vocabulary(
    sources: Sequence[TextSource], preprocessing: TextPreprocessing, encoding: str | None, *, on_unknown: OnUnknown
) -> Text:
    """Read texts with a known vocabulary. Raises InputError naming the characters that are not in it."""
    if preprocessing.unit == "bytes":
        return _read_bytes(sources)
    tokenizer = Tokenizer(preprocessing)
    buffer = _TokenBuffer(sum(source.size for source in sources))
    bounds = [0]
    for source in sources:
        characters = 0
        for codes in read_code_points(source, preprocessing, encoding):
            buffer.append(tokenizer.tokens(codes, source.name, on_unknown), preprocessing.vocabulary)
            characters += len(codes)
        _warn_of_skipped(source.name, characters - (buffer.length - bounds[-1]))
        bounds.append(buffer.length)
    return _joined(buffer, bounds, sources)


class Tokenizer:
    """Maps characters to the tokens of a vocabulary."""

    def __init__(self, preprocessing: TextPreprocessing) -> None:
        self._preprocessing = preprocessing
        self._table = np.full(_CODE_POINTS, -1, np.int32)
        self._table[code_points(preprocessing.characters)] = np.arange(len(preprocessing.characters))

    def tokens(self, codes: NDArray[np.uint32], where: str, on_unknown: OnUnknown) -> NDArray[np.int32]:
        """Tokens of code points (N,). Unknown characters raise an InputError that names them, or are skipped."""
        tokens = self._table[codes]
        is_unknown = tokens < 0
        if not is_unknown.any():
            return tokens
        if on_unknown == "error":
            raise _unknown_characters(where, np.unique(codes[is_unknown]))
        return tokens[~is_unknown]

    def encode(self, text: str, where: str, on_unknown: OnUnknown) -> NDArray[np.int32]:
        """Tokens of a string from the command line, after the preprocessing of files."""
        if self._preprocessing.unit == "bytes":
            return np.frombuffer(os.fsencode(text), np.uint8).astype(np.int32)
        text = lowercase(text) if self._preprocessing.lower else text
        if self._preprocessing.newline == "translate":
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        tokens = self.tokens(code_points(text), where, on_unknown)
        if len(tokens):  # callers report an empty result as an error
            _warn_of_skipped(where, len(text) - len(tokens))
        return tokens


def decode_tokens(tokens: NDArray[np.integer], preprocessing: TextPreprocessing) -> str:
    """The string of tokens (N,); bytes that are not UTF-8 become surrogates, as `os.fsdecode` has it for file names."""
    if preprocessing.unit == "bytes":
        return os.fsdecode(tokens.astype(np.uint8).tobytes())
    return "".join(preprocessing.characters[token] for token in tokens.tolist())


def without_surrogates(text: str) -> str:
    """The string of `decode_tokens` as valid Unicode, with U+FFFD for bytes that are not UTF-8."""
    return os.fsencode(text).decode(errors="replace")


class _TokenBuffer:
    """A growing array of tokens, each in as few bytes as the vocabulary needs."""

    def __init__(self, capacity: int) -> None:
        self._values: Tokens = np.empty(capacity, np.uint8)  # pages that are never written take no memory
        self.length = 0

    def append(self, tokens: NDArray[np.integer], vocabulary: int) -> None:
        dtype = np.min_scalar_type(max(vocabulary - 1, 0))
        stop = self.length + len(tokens)
        if dtype.itemsize > self._values.itemsize or stop > len(self._values):
            widest = max(dtype, self._values.dtype, key=lambda candidate: candidate.itemsize)
            larger = np.empty(max(stop, len(self._values)), widest)
            larger[: self.length] = self.tokens
            self._values = larger
        self._values[self.length : stop] = tokens
        self.length = stop

    def remap(self, table: NDArray[np.int32]) -> None:
        """Replace each token by its entry in `table`, in place and in chunks, to keep peak memory low."""
        for start in range(0, self.length, _REMAP_CHUNK):
            chunk = self.tokens[start : start + _REMAP_CHUNK]
            chunk[:] = table[chunk]

    @property
    def tokens(self) -> Tokens:
        """The tokens so far (N,), a view."""
        return self._values[: self.length]


def _read_bytes(sources: Sequence[TextSource]) -> Text:
    buffer, bounds = _TokenBuffer(sum(source.size for source in sources)), [0]
    for source in sources:
        for chunk in source.chunks():
            buffer.append(np.frombuffer(chunk, np.uint8), _BYTE_VALUES)
        bounds.append(buffer.length)
    return _joined(buffer, bounds, sources)


def _joined(buffer: _TokenBuffer, bounds: Sequence[int], sources: Sequence[TextSource]) -> Text:
    return Text(buffer.tokens, tuple(bounds), tuple(source.name for source in sources))


def _unknown_characters(where: str, codes: NDArray[np.uint32]) -> InputError:
    named = ", ".join(f"{chr(code)!r} (U+{code:04X})" for code in codes[:_MOST_NAMED].tolist())
    more = f" and {len(codes) - _MOST_NAMED} more" if len(codes) > _MOST_NAMED else ""
    what = f"has characters that are not in the model's vocabulary: {named}{more}"
    return InputError(where, what, "remove them, or pass --on-unknown skip")


def _warn_of_skipped(where: str, count: int) -> None:
    if count:
        output.warn(f"{where}: skipped {count:,} characters that are not in the model's vocabulary")
