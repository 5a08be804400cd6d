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
    """How often each text uses each term: a sparse matrix (N, terms), and the names of its columns."""

    terms: list[str]
    counts: Any  # scipy.sparse.csr_array, int64


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
            frequencies = np.asarray(counted.counts[texts].sum(axis=0)).ravel()
            used = np.flatnonzero(frequencies >= min(_LEAST_USES, frequencies.max(initial=1)))
            frequent = sorted(used.tolist(), key=lambda i: (-int(frequencies[i]), counted.terms[i]))[:most]
            columns = sorted(frequent, key=counted.terms.__getitem__)
            blocks.append(TermCounts([counted.terms[i] for i in columns], counted.counts[:, columns]))
        document_counts = [(block.counts[texts] > 0).sum(axis=0) for block in blocks]
        of_texts = np.concatenate([np.asarray(counts).ravel() for counts in document_counts])
        idf = np.log((1 + len(texts)) / (1 + of_texts)) + 1
        fitted = cls(tuple(blocks[0].terms), tuple(blocks[1].terms), idf.astype(np.float64))
        return fitted, fitted._weighed([block.counts for block in blocks])

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
        """Counts as 1 + log(count), times the inverse document frequency; each kind of n-gram with norm 1."""
        weighed = []
        start = 0
        for counts in blocks:
            matrix = sparse.csr_array(counts).astype(np.float64)
            matrix.sort_indices()
            matrix.data = (1 + np.log(matrix.data)) * self.idf[start + matrix.indices]
            start += matrix.shape[1]
            norms = np.sqrt(np.asarray((matrix * matrix).sum(axis=1)).ravel())
            per_row = np.repeat(np.where(norms > 0, norms, 1.0), np.diff(matrix.indptr))
            matrix.data /= per_row
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
    return TermCounts([*corpus.words, *names], sparse.hstack([single, double], format="csr"))


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
    return TermCounts(list(position), sparse.csr_array(uses @ of_words))


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
    matrix = sparse.coo_array((np.ones(len(rows), np.int64), (rows, columns)), shape=shape).tocsr()
    matrix.sum_duplicates()
    return matrix


def _selected(counted: TermCounts, vocabulary: tuple[str, ...]) -> Any:
    """The counts (N, vocabulary) of the terms of a vocabulary."""
    position = {term: column for column, term in enumerate(counted.terms)}
    pairs = [(position[term], column) for column, term in enumerate(vocabulary) if term in position]
    rows, columns = (np.array(side, np.int64) for side in (zip(*pairs, strict=True) if pairs else ((), ())))
    chooser = sparse.coo_array(
        (np.ones(len(rows), np.int64), (rows, columns)), shape=(len(counted.terms), len(vocabulary))
    )
    return sparse.csr_array(counted.counts @ chooser.tocsr())
