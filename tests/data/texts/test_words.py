"""Words of texts, and vocabularies."""

import re
import string
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.texts.remarks import CLASSES, remarks
from dlnotes_cli.data.texts.words import choose_vocabulary, positions_of, read_corpus, words_of


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


def test_dropped_punctuation_is_that_of_the_notebook() -> None:
    text = "Bromwell High is a cartoon comedy .  It's 'good' -- 10/10\u2026"
    notebook = "".join(c for c in text.lower() if c not in string.punctuation).split()
    assert words_of(text, "drop") == notebook


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40), max_size=6))
def test_a_corpus_has_the_words_of_each_text(texts: list[str]) -> None:
    corpus = read_corpus(texts)
    assert len(set(corpus.words)) == len(corpus.words)
    for i, text in enumerate(texts):
        words = [corpus.words[j] for j in corpus.ids[corpus.offsets[i] : corpus.offsets[i + 1]]]
        assert words == words_of(text)
        kept = unicodedata.normalize("NFC", text).lower()
        assert re.sub(r"\s", "", "".join(words)) == re.sub(r"\s", "", kept)


def test_the_vocabulary_has_the_most_frequent_words_of_the_chosen_texts_only() -> None:
    texts = ["b b a a c", "d d d d", "c a"]
    corpus = read_corpus(texts)
    chosen = np.array([0, 2])
    assert choose_vocabulary(corpus, chosen, None) == ("a", "b", "c")
    assert choose_vocabulary(corpus, chosen, 2) == ("a", "b")
    assert choose_vocabulary(corpus, np.array([1]), None) == ("d",)
    counts = Counter(corpus.words[i] for i in corpus.ids[positions_of(corpus.offsets, chosen)])
    assert counts == Counter(" ".join(texts[i] for i in chosen).split())


def test_the_embedded_remarks_are_the_same_in_every_run_and_balanced() -> None:
    texts, labels = remarks(200)
    assert remarks(200) == (texts, labels)
    assert (labels.count(0), labels.count(1), len(CLASSES)) == (100, 100, 2)
    assert all(text[-1] == "." and text[0].isupper() for text in texts)
