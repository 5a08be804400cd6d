"""TF-IDF features by scikit-learn: n-grams of words, and of the characters inside words."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from dlnotes_cli.data.texts.preprocessing import TfidfPreprocessing
from dlnotes_cli.data.texts.words import Corpus, ngrams_of

_LEAST_TEXTS = 2  # training texts that have an n-gram which is a feature
_MOST_WORDS, _MOST_CHARACTERS = 50_000, 30_000  # features of each kind


@dataclass(frozen=True)
class Tfidf:
    """Features of texts: 1 + log(count) times the inverse document frequency; each kind of n-gram has norm 1."""

    words: TfidfVectorizer
    characters: TfidfVectorizer

    @classmethod
    def fit(cls, corpus: Corpus, train: NDArray[np.int64]) -> tuple["Tfidf", Any]:
        """Choose the most frequent n-grams of the texts at the indices `train`.

        Returns the fitted features, and the matrix (N, features) of all texts. Raises ValueError for texts without a
        word.
        """
        others = np.setdiff1d(np.arange(len(corpus)), train)
        words, of_words = _fitted(word_terms, _MOST_WORDS, corpus, train)
        characters, of_characters = _fitted(character_terms, _MOST_CHARACTERS, corpus, train)
        tfidf = cls(words, characters)
        fitted = sparse.hstack([of_words, of_characters], format="csr")
        features = sparse.vstack([fitted, tfidf.transform(corpus, others)], format="csr") if len(others) else fitted
        return tfidf, features[np.argsort(np.concatenate([train, others]))]

    @classmethod
    def of(cls, preprocessing: TfidfPreprocessing, idf: NDArray[np.float64]) -> "Tfidf":
        """The features of a model file, with the inverse document frequency of each, (features,)."""
        count = len(preprocessing.words)
        return cls(
            _restored(word_terms, preprocessing.words, idf[:count]),
            _restored(character_terms, preprocessing.characters, idf[count:]),
        )

    @property
    def idf(self) -> NDArray[np.float64]:
        """The inverse document frequency of each feature, (features,)."""
        return np.concatenate([self.words.idf_, self.characters.idf_])

    def transform(self, corpus: Corpus, texts: NDArray[np.int64] | None = None) -> Any:
        """The features of all texts, or of those at the indices `texts`: a sparse float64 matrix (N, features)."""
        chosen = np.arange(len(corpus)) if texts is None else texts
        parts = [vectorizer.transform(corpus.texts(chosen)) for vectorizer in (self.words, self.characters)]
        return sparse.hstack(parts, format="csr")


def word_terms(words: list[str]) -> list[str]:
    """The words of a text, and each two words that follow each other, separated by a space."""
    return [*words, *map(" ".join, pairwise(words))]


def character_terms(words: list[str]) -> Iterable[str]:
    """The n-grams of the characters of each word of a text."""
    return chain.from_iterable(map(ngrams_of, words))


def _fitted(
    terms: Callable[[list[str]], Iterable[str]], most: int, corpus: Corpus, train: NDArray[np.int64]
) -> tuple[TfidfVectorizer, Any]:
    """A vectorizer fitted to the training texts, and their features."""
    for least in range(min(_LEAST_TEXTS, len(train)), 0, -1):
        vectorizer = TfidfVectorizer(analyzer=terms, sublinear_tf=True, min_df=least, max_features=most)
        try:
            return vectorizer, vectorizer.fit_transform(corpus.texts(train))
        except ValueError:
            if least == 1:
                raise
    raise ValueError("no training texts")


def _restored(
    terms: Callable[[list[str]], Iterable[str]], vocabulary: tuple[str, ...], idf: NDArray[np.float64]
) -> TfidfVectorizer:
    vectorizer = TfidfVectorizer(analyzer=terms, sublinear_tf=True, vocabulary=vocabulary)
    vectorizer.idf_ = idf
    return vectorizer
