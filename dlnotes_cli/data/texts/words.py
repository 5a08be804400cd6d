"""Texts as words: normalization, words and marks of punctuation, and a whole data set as arrays of numbers."""

import re
import string
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import count

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.texts.preprocessing import Punctuation

_ASCII = re.compile(r"\w+(?:'\w+)*|[^\w\s]", re.ASCII)  # as `_pattern`, faster
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CHARACTER_SIZES = range(3, 6)  # of the n-grams of characters
_MOST_CACHED = 1 << 18  # words whose n-grams are in memory
_FIRST_MARK, _LAST_MARK = 0x300, 0xFFFF  # between which combining marks of writing systems are


@dataclass(frozen=True)
class Corpus:
    """Texts as numbers: text i is `ids[offsets[i]:offsets[i + 1]]`, each of which is a position in `words`."""

    words: tuple[str, ...]  # distinct, in the order of their first use
    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]  # (N + 1,)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of words of each text, (N,)."""
        return np.diff(self.offsets)

    def texts(self, indices: NDArray[np.int64]) -> Iterator[list[str]]:
        """The words of each of the texts at `indices`."""
        for i in indices.tolist():
            yield [self.words[j] for j in self.ids[self.offsets[i] : self.offsets[i + 1]].tolist()]


def normalized(text: str) -> str:
    r"""The text in Unicode's composed form (NFC) and in lower case.

    >>> normalized("Cafe\u0301") == "caf\xe9"
    True
    """
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).lower()


def words_of(text: str, punctuation: Punctuation = "keep") -> list[str]:
    """The words of a text, normalized.

    With `keep` every other mark is a word of its own, and an apostrophe inside a word belongs to it; with `drop` ASCII
    punctuation is deleted and words end at white space, as in the course's notebook.

    >>> words_of("Don't miss it!"), words_of("Don't miss it!", "drop")
    (["don't", 'miss', 'it', '!'], ['dont', 'miss', 'it'])
    """
    return _splitter(punctuation)(normalized(text))


def read_corpus(texts: Iterable[str], punctuation: Punctuation = "keep") -> Corpus:
    """The words of many texts."""
    split = _splitter(punctuation)
    position: defaultdict[str, int] = defaultdict(count().__next__)
    ids, offsets = array("i"), array("q", [0])
    for text in texts:
        ids.extend(map(position.__getitem__, split(normalized(text))))
        offsets.append(len(ids))
    return Corpus(tuple(position), np.array(ids, np.int32), np.array(offsets, np.int64))


@lru_cache(_MOST_CACHED)
def ngrams_of(word: str) -> tuple[str, ...]:
    """The n-grams of a word, as scikit-learn's analyzer `char_wb` cuts them; a short word is one of them, once.

    >>> ngrams_of("not"), ngrams_of("a")
    ((' no', 'not', 'ot ', ' not', 'not ', ' not '), (' a ',))
    """
    padded = f" {word} "
    sizes = [size for size in _CHARACTER_SIZES if size < len(padded)]
    grams = (padded[start : start + size] for size in sizes for start in range(len(padded) - size + 1))
    return (*grams, padded) if len(padded) <= _CHARACTER_SIZES[-1] else tuple(grams)


def choose_vocabulary(corpus: Corpus, texts: NDArray[np.int64], limit: int | None, least: int = 1) -> tuple[str, ...]:
    """The most frequent words of the texts at the indices `texts`, at most `limit`, that occur `least` times or more.

    They are sorted by falling frequency, and equally frequent ones by name.
    """
    frequencies = np.bincount(corpus.ids[positions_of(corpus.offsets, texts)], minlength=len(corpus.words))
    used = np.flatnonzero(frequencies >= least)
    ordered = sorted(used.tolist(), key=lambda i: (-int(frequencies[i]), corpus.words[i]))
    return tuple(corpus.words[i] for i in ordered[:limit])


def positions_of(offsets: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions in a flat array of all entries of the `chosen` sequences, one sequence after the other."""
    lengths = offsets[chosen + 1] - offsets[chosen]
    starts = np.repeat(offsets[chosen] - (np.cumsum(lengths) - lengths), lengths)
    return np.asarray(starts + np.arange(lengths.sum()), np.int64)


def lookup(corpus: Corpus, vocabulary: Sequence[str], absent: int, first: int = 0) -> NDArray[np.int64]:
    """For each word of a corpus its position in a vocabulary, counted from `first`; `absent` for other words."""
    position = {word: i for i, word in enumerate(vocabulary, first)}
    return np.array([position.get(word, absent) for word in corpus.words], np.int64).reshape(-1)


def _splitter(punctuation: Punctuation) -> Callable[[str], list[str]]:
    if punctuation == "drop":
        return lambda text: text.translate(_NO_PUNCTUATION).split()
    pattern = _pattern()
    return lambda text: (_ASCII if text.isascii() else pattern).findall(text)


@cache
def _pattern() -> re.Pattern[str]:
    """Words with the combining marks of their letters, or single other characters."""
    marks = "".join(chr(c) for c in range(_FIRST_MARK, _LAST_MARK) if unicodedata.category(chr(c))[0] == "M")
    return re.compile(rf"[\w{marks}]+(?:['\u2019][\w{marks}]+)*|[^\w\s{marks}]")
