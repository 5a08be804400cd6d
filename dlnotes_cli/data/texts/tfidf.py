"""TF-IDF features: n-grams of words and of the characters inside words, weighed as scikit-learn weighs them.

The n-grams of a text are counted from its words, which are few compared with all words of all texts: characters are cut
once for each distinct word.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from dlnotes_cli.data.texts.preprocessing import TfidfPreprocessing
from dlnotes_cli.data.texts.words import Corpus

CHARACTER_SIZES = range(3, 6)  # of the n-grams of characters
_LEAST_USES = 2  # in the training texts, of an n-gram that is a feature
_MOST_WORDS, _MOST_CHARACTERS = 50_000, 30_000  # features of each kind


@dataclass(frozen=True)
class TermCounts:
    """How often each text uses each term; a term may be a part of several units, such as an n-gram of several words.

    The matrices are scipy's csr_array, int32. Their product has a value for every term of every text, which is large:
    `selected` computes columns of it.
    """

    terms: list[str]
    uses: Any  # (N, units): how often each text uses each unit
    parts: Any  # (units, terms): how often each term is in a unit

    def frequencies(self, texts: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often the texts at the indices `texts` use each term, int64 (terms,)."""
        return np.asarray(np.asarray(self.uses[texts].sum(axis=0)).ravel() @ self.parts, np.int64)

    def selected(self, chooser: Any) -> Any:
        """How often each text uses each column of the sparse matrix `chooser` (terms, columns)."""
        return sparse.csr_array(self.uses @ (self.parts @ chooser))


@dataclass(frozen=True)
class Tfidf:
    """A vocabulary of n-grams with the inverse document frequency of each, float64 (features,)."""

    words: tuple[str, ...]
    characters: tuple[str, ...]
    idf: NDArray[np.float64]

    @classmethod
    def fit(cls, corpus: Corpus, texts: NDArray[np.int64]) -> tuple["Tfidf", Any]:
        """Choose the most frequent n-grams of the texts at the indices `texts`.

        Returns the fitted features, and the matrix (N, features) of all texts of the corpus.
        """
        blocks = []
        for counted, most in ((word_terms(corpus), _MOST_WORDS), (character_terms(corpus), _MOST_CHARACTERS)):
            frequencies = counted.frequencies(texts)
            used = np.flatnonzero(frequencies >= min(_LEAST_USES, frequencies.max(initial=1)))
            frequent = sorted(used.tolist(), key=lambda i: (-int(frequencies[i]), counted.terms[i]))[:most]
            vocabulary = tuple(counted.terms[i] for i in sorted(frequent, key=counted.terms.__getitem__))
            blocks.append((vocabulary, _selected(counted, vocabulary)))
        document_counts = [(counts[texts] > 0).sum(axis=0) for _, counts in blocks]
        of_texts = np.concatenate([np.asarray(counts).ravel() for counts in document_counts])
        idf = np.log((1 + len(texts)) / (1 + of_texts)) + 1
        fitted = cls(blocks[0][0], blocks[1][0], idf.astype(np.float64))
        every_count = [counts for _, counts in blocks]
        del blocks
        return fitted, fitted._weighed(every_count)

    @classmethod
    def of(cls, preprocessing: TfidfPreprocessing, idf: NDArray[np.float64]) -> "Tfidf":
        """The features of a model file."""
        return cls(preprocessing.words, preprocessing.characters, idf)

    def transform(self, corpus: Corpus) -> Any:
        """The features of all texts, a sparse float64 matrix (N, features)."""
        blocks = [
            _selected(word_terms(corpus), self.words),
            _selected(character_terms(corpus), self.characters),
        ]
        return self._weighed(blocks)

    def _weighed(self, blocks: list[Any]) -> Any:
        """Counts as 1 + log(count), times the inverse document frequency; each kind of n-gram with norm 1.

        The counts are removed from `blocks`.
        """
        weighed = []
        start = 0
        while blocks:  # which are large: each is freed when it is weighed
            counts = blocks.pop(0)
            counts.sort_indices()
            values = np.log(counts.data)
            values += 1
            values *= self.idf[start : start + counts.shape[1]][counts.indices]
            start += counts.shape[1]
            matrix = sparse.csr_array((values, counts.indices, counts.indptr), shape=counts.shape)
            del counts
            norms = np.sqrt(matrix.power(2).sum(axis=1))
            values /= np.repeat(np.where(norms > 0, norms, 1.0), np.diff(matrix.indptr))
            weighed.append(matrix)
        return sparse.hstack(weighed, format="csr")


def word_terms(corpus: Corpus) -> TermCounts:
    """The words of each text, and each two words that follow each other, separated by a space."""
    texts = np.repeat(np.arange(len(corpus)), corpus.lengths)
    single = _counts(texts, corpus.ids.astype(np.int64), (len(corpus), len(corpus.words)))
    is_inside = texts[1:] == texts[:-1]
    pairs = corpus.ids[:-1].astype(np.int64) * len(corpus.words) + corpus.ids[1:]
    distinct, columns = np.unique(pairs[is_inside], return_inverse=True)
    double = _counts(texts[:-1][is_inside], columns, (len(corpus), len(distinct)))
    names = [f"{corpus.words[a]} {corpus.words[b]}" for a, b in zip(*_divided(distinct, corpus), strict=True)]
    terms = [*corpus.words, *names]
    uses = sparse.hstack([single, double], format="csr")
    return TermCounts(terms, uses, sparse.eye_array(len(terms), dtype=np.int32, format="csr"))


def character_terms(corpus: Corpus) -> TermCounts:
    """The n-grams of the characters of each word of each text, with a space at both ends of a word."""
    position: dict[str, int] = {}
    rows, columns = [], []
    for row, word in enumerate(corpus.words):
        for term in ngrams_of(word):
            rows.append(row)
            columns.append(position.setdefault(term, len(position)))
    of_words = _counts(np.array(rows, np.int64), np.array(columns, np.int64), (len(corpus.words), len(position)))
    texts = np.repeat(np.arange(len(corpus)), corpus.lengths)
    uses = _counts(texts, corpus.ids.astype(np.int64), (len(corpus), len(corpus.words)))
    return TermCounts(list(position), uses, of_words)


def ngrams_of(word: str) -> Iterator[str]:
    """The n-grams of a word, as scikit-learn's analyzer `char_wb` cuts them; a short word is one of them, once.

    >>> list(ngrams_of("not")), list(ngrams_of("a"))
    ([' no', 'not', 'ot ', ' not', 'not ', ' not '], [' a '])
    """
    padded = f" {word} "
    for size in CHARACTER_SIZES:
        if size >= len(padded):
            yield padded
            return
        yield from (padded[start : start + size] for start in range(len(padded) - size + 1))


def _divided(pairs: NDArray[np.int64], corpus: Corpus) -> tuple[list[int], list[int]]:
    first, second = np.divmod(pairs, max(len(corpus.words), 1))
    return first.tolist(), second.tolist()


def _counts(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> Any:
    """How often each pair of row and column occurs, as a sparse matrix."""
    matrix = sparse.coo_array((np.ones(len(rows), np.int32), (rows, columns)), shape=shape).tocsr()
    matrix.sum_duplicates()
    return matrix


def _selected(counted: TermCounts, vocabulary: tuple[str, ...]) -> Any:
    """The counts (N, vocabulary) of the terms of a vocabulary."""
    position = {term: column for column, term in enumerate(counted.terms)}
    pairs = [(position[term], column) for column, term in enumerate(vocabulary) if term in position]
    rows, columns = (np.array(side, np.int64) for side in (zip(*pairs, strict=True) if pairs else ((), ())))
    chooser = sparse.coo_array(
        (np.ones(len(rows), np.int32), (rows, columns)), shape=(len(counted.terms), len(vocabulary))
    )
    return counted.selected(chooser.tocsr())
