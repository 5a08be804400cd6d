"""Texts as arrays of tokens, one for each character or byte, and the vocabulary that maps between the two."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts.files import TextSource, preprocessed
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError

Tokens = NDArray[np.unsignedinteger]
OnUnknown = Literal["error", "skip"]
_CODE_POINTS = 0x110000  # in Unicode
_CHUNK = 1 << 20  # characters that are looked up at a time
_UNKNOWN_FIX = "remove them, or pass --on-unknown skip"
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
    texts = [source.read(preprocessing, encoding) for source in sources]
    preprocessing = replace(preprocessing, characters="".join(sorted(set().union(*texts))))
    return _tokenized(sources, texts, preprocessing, "error"), preprocessing


def read_with_vocabulary(
    sources: Sequence[TextSource], preprocessing: TextPreprocessing, encoding: str | None, *, on_unknown: OnUnknown
) -> Text:
    """Read texts with a known vocabulary. Raises InputError naming the characters that are not in it."""
    if preprocessing.unit == "bytes":
        return _read_bytes(sources)
    texts = [source.read(preprocessing, encoding) for source in sources]
    return _tokenized(sources, texts, preprocessing, on_unknown)


class Tokenizer:
    """Maps characters to the tokens of a vocabulary."""

    def __init__(self, preprocessing: TextPreprocessing) -> None:
        self._preprocessing = preprocessing
        self._type = np.min_scalar_type(max(preprocessing.vocabulary - 1, 0))
        self._table = np.full(_CODE_POINTS, -1, np.int32)
        codes = np.array([ord(character) for character in preprocessing.characters], np.int64)
        self._table[codes] = np.arange(len(codes))

    def encode(self, text: str, where: str, on_unknown: OnUnknown = "error", fix: str = _UNKNOWN_FIX) -> Tokens:
        """Tokens of a string, after the preprocessing of files.

        Unknown characters raise an InputError that names them, or are skipped with a warning.
        """
        if self._preprocessing.unit == "bytes":
            return np.frombuffer(os.fsencode(text), np.uint8).copy()  # of bytes it is read-only
        text = preprocessed(text, self._preprocessing)
        parts = [np.empty(0, self._type)]
        for codes in _code_points(text):
            tokens = self._table[codes]
            is_known = tokens >= 0
            if on_unknown == "error" and not is_known.all():
                raise _unknown_characters(where, np.unique(codes[~is_known]), fix)
            parts.append(tokens[is_known].astype(self._type))
        found = np.concatenate(parts)
        if 0 < len(found) < len(text):  # callers report an empty result as an error
            skipped = f"{len(text) - len(found):,} characters that are not in the model's vocabulary"
            output.warn(f"{where}: skipped {skipped}")
        return found


def decode_tokens(tokens: NDArray[np.integer], preprocessing: TextPreprocessing) -> str:
    """The string of tokens (N,); bytes that are not UTF-8 become surrogates, as `os.fsdecode` has it for file names."""
    if preprocessing.unit == "bytes":
        return os.fsdecode(tokens.astype(np.uint8).tobytes())
    return "".join(preprocessing.characters[token] for token in tokens.tolist())


def without_surrogates(text: str) -> str:
    """The string of `decode_tokens` as valid Unicode, with U+FFFD for bytes that are not UTF-8."""
    return os.fsencode(text).decode(errors="replace")


def _code_points(text: str) -> Iterator[NDArray[np.uint32]]:
    """The code points of a string, in chunks: all at once take four bytes for each character."""
    for start in range(0, len(text), _CHUNK):
        chunk = text[start : start + _CHUNK].encode("utf-32-le", "surrogatepass")
        yield np.frombuffer(chunk, np.uint32)


def _read_bytes(sources: Sequence[TextSource]) -> Text:
    return _joined(sources, [np.frombuffer(source.read_bytes(), np.uint8) for source in sources])


def _tokenized(
    sources: Sequence[TextSource], texts: Sequence[str], preprocessing: TextPreprocessing, on_unknown: OnUnknown
) -> Text:
    tokenizer = Tokenizer(preprocessing)
    pairs = zip(sources, texts, strict=True)
    return _joined(sources, [tokenizer.encode(text, source.name, on_unknown) for source, text in pairs])


def _joined(sources: Sequence[TextSource], parts: Sequence[Tokens]) -> Text:
    bounds = np.cumsum([0, *map(len, parts)]).tolist()
    return Text(np.concatenate(parts), tuple(bounds), tuple(source.name for source in sources))


def _unknown_characters(where: str, codes: NDArray[np.uint32], fix: str) -> InputError:
    named = ", ".join(f"{chr(code)!r} (U+{code:04X})" for code in codes[:_MOST_NAMED].tolist())
    more = f" and {len(codes) - _MOST_NAMED} more" if len(codes) > _MOST_NAMED else ""
    what = f"has characters that are not in the model's vocabulary: {named}{more}"
    return InputError(where, what, fix)
