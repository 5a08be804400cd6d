"""Sequences of tokens: lookup, cuts, padding, batches of similar length."""

import numpy as np
import pytest

from dlnotes_cli.data.texts.preprocessing import (
    SequencePreprocessing,
    document_preprocessing_from_json,
    document_preprocessing_to_json,
)
from dlnotes_cli.data.texts.sequences import batches_by_length, bucketed_batches, encode_texts, train_byte_pairs


def preprocessing(**changes: object) -> SequencePreprocessing:
    values: dict[str, object] = {
        "text_column": "text",
        "target": "label",
        "tokenization": "words",
        "words": ("good", "film"),
    }
    return SequencePreprocessing(**values | changes)  # type: ignore[arg-type]


def test_tokens_follow_the_vocabulary_and_unknown_words_are_token_1() -> None:
    tokens = encode_texts(["Good film!", "", "film"], preprocessing())
    assert tokens.batch(np.arange(3)).tolist() == [[2, 3, 1], [0, 0, 0], [3, 0, 0]]
    assert preprocessing().vocabulary == 4


def test_the_notebooks_sequences_are_padded_and_cut_on_the_left_and_skip_unknown_words() -> None:
    course = preprocessing(punctuation="drop", has_unknown=False, max_length=3, fixed_length=True)
    tokens = encode_texts(["good, bad film", "good good good film"], course)
    assert tokens.batch(np.arange(2)).tolist() == [[0, 1, 2], [1, 1, 1]]
    assert (tokens.cut, course.vocabulary) == (1, 3)


def test_a_long_text_is_cut_to_its_first_tokens() -> None:
    tokens = encode_texts(["film " * 9 + "good", "good"], preprocessing(max_length=4))
    assert tokens.batch(np.arange(2)).tolist() == [[3, 3, 3, 3], [2, 0, 0, 0]]
    assert tokens.cut == 1
    assert tokens.take(np.array([1])).batch(np.array([0])).tolist() == [[2]]


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
    stored = preprocessing()
    assert (
        document_preprocessing_from_json(document_preprocessing_to_json(stored) | {"words": ["good", "film"]}) == stored
    )
    for change in ({"words": ["a", "a"]}, {"words": "ab"}, {"max_length": 0}, {"kind": "x"}, {"bpe_size": 3}):
        with pytest.raises((TypeError, ValueError)):
            document_preprocessing_from_json(document_preprocessing_to_json(stored) | {"words": ["good"]} | change)


def test_byte_pairs_read_any_text_and_start_behind_the_padding() -> None:
    pytest.importorskip("tokenizers")
    stored, size = train_byte_pairs(["good film, good film, goodness"] * 3, 270)
    assert 256 < size <= 270
    pairs = preprocessing(tokenization="bpe", words=(), bpe=stored, bpe_size=size, has_unknown=False, max_length=8)
    tokens = encode_texts(["good \u732b", "film film film film film film film film film"], pairs)
    assert int(tokens.tokens.min()) > 0
    assert int(tokens.tokens.max()) < pairs.vocabulary
    assert tokens.lengths.max() == 8
    assert tokens.cut == 1
