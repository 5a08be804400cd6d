"""TF-IDF features against scikit-learn's own analyzers."""

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from dlnotes_cli.data.texts.preprocessing import TfidfPreprocessing
from dlnotes_cli.data.texts.remarks import remarks
from dlnotes_cli.data.texts.tfidf import Tfidf
from dlnotes_cli.data.texts.words import read_corpus, words_of

TEXTS = [*remarks(60)[0], "Don't, don't! 3 \u00e9t\u00e9s", "x ab abc abcd abcdef '", ""]


def test_features_are_those_of_scikit_learn_also_from_a_model_file() -> None:
    train, corpus = np.arange(1, 50, 2), read_corpus(TEXTS)
    tfidf, features = Tfidf.fit(corpus, train)
    common = {"sublinear_tf": True, "min_df": 2}
    oracles = (
        TfidfVectorizer(tokenizer=words_of, token_pattern=None, lowercase=False, ngram_range=(1, 2), **common),
        TfidfVectorizer(
            analyzer="char_wb", preprocessor=lambda text: " ".join(words_of(text)), ngram_range=(3, 5), **common
        ),
    )
    expected = sparse.hstack([oracle.fit([TEXTS[i] for i in train]).transform(TEXTS) for oracle in oracles]).toarray()
    np.testing.assert_allclose(features.toarray(), expected, rtol=0, atol=1e-12)
    words, characters = (tuple(kind.get_feature_names_out()) for kind in (tfidf.words, tfidf.characters))
    restored = Tfidf.of(TfidfPreprocessing("text", "label", words, characters), tfidf.idf)
    for texts in (TEXTS, TEXTS[:2]):
        actual = restored.transform(read_corpus(texts)).toarray()
        np.testing.assert_allclose(actual, expected[: len(texts)], rtol=0, atol=1e-12)


def test_every_word_is_a_feature_where_no_two_training_texts_share_one() -> None:
    tfidf, _ = Tfidf.fit(read_corpus(["good good", "bad bad", "plot"]), np.array([0, 2]))
    assert tfidf.words.get_feature_names_out().tolist() == ["good", "good good", "plot"]
