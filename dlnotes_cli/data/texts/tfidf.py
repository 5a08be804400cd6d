"""TF-IDF features by scikit-learn: n-grams of words, and of the characters inside words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from dlnotes_cli.data.texts.preprocessing import TfidfPreprocessing
from dlnotes_cli.data.texts.sequences import words_of

_MOST_WORDS, _MOST_CHARACTERS = 50_000, 30_000  # features of each kind


def _spaced(text: str) -> str:
    return " ".join(words_of(text))


_WORDS: dict[str, Any] = {
    "tokenizer": words_of, "token_pattern": None, "lowercase": False, "ngram_range": (1, 2), "sublinear_tf": True,
}  # fmt: skip
_CHARACTERS: dict[str, Any] = {
    "preprocessor": _spaced, "analyzer": "char_wb", "ngram_range": (3, 5), "sublinear_tf": True,
}  # fmt: skip


@dataclass(frozen=True)
class Tfidf:
    """Features of texts: 1 + log(count) times the inverse document frequency; each kind of n-gram has norm 1."""

    words: TfidfVectorizer
    characters: TfidfVectorizer

    @classmethod
    def fit(cls, texts: Sequence[str]) -> tuple["Tfidf", Any]:
        """Choose the most frequent n-grams of texts.

        Returns the fitted features, and their matrix (N, features). Raises ValueError for texts without a word.
        """
        words, of_words = _fitted(texts, max_features=_MOST_WORDS, **_WORDS)
        characters, of_characters = _fitted(texts, max_features=_MOST_CHARACTERS, **_CHARACTERS)
        return cls(words, characters), sparse.hstack([of_words, of_characters], format="csr")

    @classmethod
    def of(cls, preprocessing: TfidfPreprocessing, idf: NDArray[np.float64]) -> "Tfidf":
        """The features of a model file, with the inverse document frequency of each, (features,)."""
        tfidf = cls(
            TfidfVectorizer(vocabulary=preprocessing.words, **_WORDS),
            TfidfVectorizer(vocabulary=preprocessing.characters, **_CHARACTERS),
        )
        tfidf.words.idf_, tfidf.characters.idf_ = np.split(idf, [len(preprocessing.words)])
        return tfidf

    @property
    def idf(self) -> NDArray[np.float64]:
        """The inverse document frequency of each feature, (features,)."""
        return np.concatenate([self.words.idf_, self.characters.idf_])

    def transform(self, texts: Sequence[str]) -> Any:
        """The features of texts: a sparse float64 matrix (N, features)."""
        return sparse.hstack([kind.transform(texts) for kind in (self.words, self.characters)], format="csr")


def _fitted(texts: Sequence[str], **settings: Any) -> tuple[TfidfVectorizer, Any]:
    """A vectorizer of the n-grams that two texts have, or if there are none, of all."""
    for least in (2, 1):
        vectorizer = TfidfVectorizer(min_df=least, **settings)
        try:
            return vectorizer, vectorizer.fit_transform(texts)
        except ValueError:
            if least == 1:
                raise
    raise ValueError("no training texts")
