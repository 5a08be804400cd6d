"""TF-IDF features against scikit-learn's vectorizers."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from dlnotes_cli.data.texts.remarks import remarks
from dlnotes_cli.data.texts.tfidf import Tfidf, character_terms, ngrams_of, word_terms
from dlnotes_cli.data.texts.words import read_corpus, words_of

TEXTS = [*remarks(60)[0], "Don't, don't! 3 \u00e9t\u00e9s", "x", ""]


def vectorizer(analyzer: str, sizes: tuple[int, int], vocabulary: tuple[str, ...] | None = None) -> TfidfVectorizer:
    common = {"ngram_range": sizes, "sublinear_tf": True, "vocabulary": vocabulary}
    if analyzer == "word":
        return TfidfVectorizer(tokenizer=words_of, token_pattern=None, lowercase=False, **common)
    return TfidfVectorizer(analyzer="char_wb", preprocessor=lambda text: " ".join(words_of(text)), **common)


def test_features_are_those_of_scikit_learn() -> None:
    train, corpus = np.arange(40), read_corpus(TEXTS)
    fitted, features = Tfidf.fit(corpus, train)
    oracles = (vectorizer("word", (1, 2), fitted.words), vectorizer("char_wb", (3, 5), fitted.characters))
    for oracle in oracles:
        oracle.fit([TEXTS[i] for i in train])
    expected = sparse.hstack([oracle.transform(TEXTS) for oracle in oracles]).toarray()
    np.testing.assert_allclose(features.toarray(), expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(fitted.transform(corpus).toarray(), features.toarray())
    np.testing.assert_array_equal(fitted.transform(read_corpus(TEXTS[3:5])).toarray(), features.toarray()[3:5])


@pytest.mark.parametrize(
    ("terms", "analyzer", "sizes"), [(word_terms, "word", (1, 2)), (character_terms, "char_wb", (3, 5))]
)
def test_terms_are_counted_as_scikit_learn_does(terms: object, analyzer: str, sizes: tuple[int, int]) -> None:
    counted = terms(read_corpus(TEXTS))  # type: ignore[operator]
    analyze = vectorizer(analyzer, sizes).build_analyzer()
    for i, text in enumerate(TEXTS):
        row = (counted.uses[[i]] @ counted.parts).toarray()[0]
        mine = {counted.terms[j]: int(row[j]) for j in np.flatnonzero(row)}
        expected = analyze(text)
        assert mine == {term: expected.count(term) for term in set(expected)}


@pytest.mark.parametrize("word", ["a", "ab", "abc", "abcdef", "'"])
def test_ngrams_of_a_word_are_those_of_char_wb(word: str) -> None:
    assert list(ngrams_of(word)) == TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5)).build_analyzer()(word)


def test_only_the_training_texts_choose_the_vocabulary() -> None:
    fitted, _ = Tfidf.fit(read_corpus(["good good", "bad bad"]), np.array([0]))
    assert fitted.words == ("good",)
