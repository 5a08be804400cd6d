"""Words, vocabularies, sequences of tokens, TF-IDF features, and batches of similar length."""

import re
import string
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.preprocessing import preprocessing_from_json, preprocessing_to_json
from dlnotes_cli.data.texts.preprocessing import SequencePreprocessing, TfidfPreprocessing
from dlnotes_cli.data.texts.remarks import CLASSES, remarks
from dlnotes_cli.data.texts.sequences import (
    batches_by_length,
    bucketed_batches,
    choose_vocabulary,
    encode_texts,
    train_byte_pairs,
    words_of,
)
from dlnotes_cli.data.texts.tfidf import Tfidf


def preprocessing(**changes: object) -> SequencePreprocessing:
    values = {"text_column": "text", "target": "label", "tokenization": "words", "words": ("good", "film")}
    return SequencePreprocessing(**values | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's GOOD, isn't it?", ["it's", "good", ",", "isn't", "it", "?"]),
        ("e\u0301te\u0301 \u00e9t\u00e9", ["\u00e9t\u00e9", "\u00e9t\u00e9"]),  # composed and not
        ("\u0939\u093f\u0928\u094d\u0926\u0940", ["\u0939\u093f\u0928\u094d\u0926\u0940"]),  # letters with marks
        ("10/10 :-)", ["10", "/", "10", ":", "-", ")"]),
        (" \n ", []),
    ],
)
def test_words_and_marks(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_words_have_every_character_but_white_space_and_those_of_the_notebook_no_punctuation(text: str) -> None:
    kept = unicodedata.normalize("NFC", text).lower()
    assert re.sub(r"\s", "", "".join(words_of(text))) == re.sub(r"\s", "", kept)  # ASCII white space is smaller
    assert words_of(text, "drop") == "".join(c for c in kept if c not in string.punctuation).split()


def test_the_vocabulary_has_the_most_frequent_words() -> None:
    texts = [["b", "b", "a", "a", "c"], ["c", "a"]]
    assert choose_vocabulary(texts, None) == ("a", "b", "c")
    assert choose_vocabulary(texts, 2) == ("a", "b")
    assert choose_vocabulary(texts, None, least=3) == ("a",)


@pytest.mark.parametrize(
    ("texts", "changes", "batch", "cut", "lengths"),
    [
        (["Good film!", "", "film"], {}, [[2, 3, 1], [0, 0, 0], [3, 0, 0]], 0, [3, 0, 1]),
        (["film " * 9 + "good", "good"], {"max_length": 4}, [[3, 3, 3, 3], [2, 0, 0, 0]], 1, [4, 1]),
        (  # those of the notebook are padded on the left, and skip unknown words
            ["good, bad film", "good good good film"],
            {"punctuation": "drop", "has_unknown": False, "max_length": 3, "fixed_length": True},
            [[0, 1, 2], [1, 1, 1]], 1, [2, 3],
        ),
    ],
)  # fmt: skip
def test_tokens_follow_the_vocabulary(
    texts: list[str], changes: dict[str, object], batch: list[list[int]], cut: int, lengths: list[int]
) -> None:
    tokens = encode_texts(texts, preprocessing(**changes))
    assert tokens.batch(np.arange(len(texts))).tolist() == batch
    assert (tokens.cut, tokens.lengths.tolist()) == (cut, lengths)
    last = np.array([len(texts) - 1])
    assert tokens.take(last).batch(np.array([0])).tolist() == tokens.batch(last).tolist()


def test_bucketed_batches_have_every_text_once_and_depend_on_seed_and_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 1003)
    indices = np.arange(3, 1003)
    batches = bucketed_batches(lengths, indices, 16, seed=1, epoch=2)
    assert sorted(np.concatenate(batches).tolist()) == indices.tolist()
    again, other = (bucketed_batches(lengths, indices, 16, seed=1, epoch=epoch) for epoch in (2, 3))
    assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in again]
    assert [batch.tolist() for batch in batches] != [batch.tolist() for batch in other]
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    assert padded < 1.05 * lengths[indices].sum()


def test_batches_by_length_are_bounded_by_their_padded_size() -> None:
    lengths = np.array([5, 900, 7, 6, 1, 400])
    batches = list(batches_by_length(lengths, batch_size=3, most_tokens=30))
    assert [batch.tolist() for batch in batches] == [[4, 0, 3], [2], [5], [1]]


def test_preprocessing_is_stored_as_json() -> None:
    kinds = (SequencePreprocessing, TfidfPreprocessing)
    stored = preprocessing_to_json(preprocessing())
    assert preprocessing_from_json(stored, *kinds) == preprocessing()
    for change in ({"words": ["a", "a"]}, {"words": "ab"}, {"max_length": 0}, {"kind": "x"}, {"bpe_size": 3}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            preprocessing_from_json(stored | change, *kinds)


def test_byte_pairs_read_any_text_and_start_after_the_padding() -> None:
    pytest.importorskip("tokenizers")
    stored, size = train_byte_pairs(["good film, good film, goodness"] * 3, 270)
    assert 256 < size <= 270
    pairs = preprocessing(tokenization="bpe", words=(), bpe=stored, bpe_size=size, has_unknown=False, max_length=8)
    tokens = encode_texts(["good \u732b", "film film film film film film film film film"], pairs)
    values = np.concatenate([one.numpy() for one in tokens.tokens])
    assert 0 < values.min() <= values.max() < pairs.vocabulary
    assert (tokens.lengths.max(), tokens.cut) == (8, 1)


def test_features_from_a_model_file_are_the_fitted_ones() -> None:
    texts = [*remarks(60)[0], "Don't, don't! 3 \u00e9t\u00e9s", "x ab abc abcd abcdef '", ""]
    tfidf, features = Tfidf.fit(texts)
    words, characters = (tuple(kind.get_feature_names_out()) for kind in (tfidf.words, tfidf.characters))
    assert {"not", "is not"} <= set(words)
    assert {" not", "not"} <= set(characters)
    restored = Tfidf.of(TfidfPreprocessing("text", "label", words, characters), tfidf.idf)
    np.testing.assert_allclose(restored.transform(texts).toarray(), features.toarray(), rtol=0, atol=1e-12)


def test_every_word_is_a_feature_where_no_two_training_texts_share_one() -> None:
    tfidf, _ = Tfidf.fit(["good good", "plot"])
    assert tfidf.words.get_feature_names_out().tolist() == ["good", "good good", "plot"]


def test_the_embedded_remarks_are_the_same_in_every_run_and_balanced() -> None:
    texts, labels = remarks(200)
    assert remarks(200) == (texts, labels)
    assert (labels.count(0), labels.count(1), len(CLASSES)) == (100, 100, 2)
    assert all(text[-1] == "." and text[0].isupper() for text in texts)
