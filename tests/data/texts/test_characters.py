"""Texts as tokens: vocabularies, tokenizing, and the strings that tokens stand for."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts.characters import (
    Tokenizer,
    decode_tokens,
    read_and_build_vocabulary,
    read_with_vocabulary,
    without_surrogates,
)
from dlnotes_cli.data.texts.files import TextSource
from dlnotes_cli.shell.errors import InputError

CHARS = TextPreprocessing("chars")
STRINGS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def source(content: bytes, name: str = "x") -> TextSource:
    return TextSource(name, None, content)


@given(STRINGS)
def test_the_vocabulary_is_the_sorted_characters_of_the_text(string: str) -> None:
    preprocessing = TextPreprocessing("chars", newline="keep")
    text, preprocessing = read_and_build_vocabulary([source(string.encode())], preprocessing, None)
    assert preprocessing.characters == "".join(sorted(set(string)))
    assert decode_tokens(text.tokens, preprocessing) == string


def test_the_fingerprint_depends_on_the_characters_and_their_order() -> None:
    fingerprints = set()
    for content in (b"abab", b"cdcd", b"abba"):
        text, preprocessing = read_and_build_vocabulary([source(content)], CHARS, None)
        fingerprints.add(text.fingerprint(preprocessing))
    assert len(fingerprints) == 3


@pytest.mark.parametrize("content", [b"", b"ab\xff\x00", bytes(range(256))])
def test_bytes_survive_decoding_and_are_shown_as_text_where_they_are_utf_8(content: bytes) -> None:
    preprocessing = TextPreprocessing("bytes")
    text, _ = read_and_build_vocabulary([source(content)], preprocessing, None)
    assert text.tokens.tobytes() == content
    assert decode_tokens(text.tokens, preprocessing).encode(errors="surrogateescape") == content
    assert without_surrogates(decode_tokens(text.tokens, preprocessing)) == content.decode(errors="replace")


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_bytes_are_their_own_tokens(contents: list[bytes]) -> None:
    sources = [source(content, str(i)) for i, content in enumerate(contents)]
    text, preprocessing = read_and_build_vocabulary(sources, TextPreprocessing("bytes", newline="keep"), None)
    assert text.tokens.tobytes() == b"".join(contents)
    assert preprocessing.vocabulary == 256
    assert text.bounds == tuple(np.cumsum([0, *map(len, contents)]).tolist())


@pytest.mark.parametrize("preprocessing", [CHARS, TextPreprocessing("bytes")])
def test_a_file_that_is_larger_than_its_reported_size_is_read_in_full(
    preprocessing: TextPreprocessing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "grown.txt"
    path.write_bytes(b"abc" * 100)
    monkeypatch.setattr(TextSource, "size", 0)
    text, _ = read_and_build_vocabulary([TextSource("x", path)], preprocessing, None)
    assert len(text) == 300


@given(st.lists(STRINGS, min_size=1, max_size=4), st.integers(0, 200), st.integers(0, 200))
def test_a_slice_keeps_the_bounds_of_texts(strings: list[str], start: int, length: int) -> None:
    sources = [source(string.encode(), str(i)) for i, string in enumerate(strings)]
    text, _ = read_and_build_vocabulary(sources, TextPreprocessing("chars", newline="keep"), None)
    start = min(start, len(text))
    stop = min(start + length, len(text))
    sliced = text.slice(start, stop)
    assert set(sliced.bounds[1:-1]) == {bound - start for bound in text.bounds if start < bound < stop}
    assert sliced.bounds[-1] == len(sliced) == stop - start
    assert len(sliced.names) == len(sliced.bounds) - 1


def test_larger_vocabularies_use_wider_tokens() -> None:
    for count, dtype in ((256, np.uint8), (257, np.uint16), (70_000, np.uint32)):
        codes = [code for code in range(32, 80_000) if not 0xD800 <= code < 0xE000][:count]
        content = "".join(map(chr, codes)).encode()
        preprocessing = TextPreprocessing("chars", newline="keep")
        text, preprocessing = read_and_build_vocabulary([source(content)], preprocessing, None)
        assert text.tokens.dtype == dtype
        assert decode_tokens(text.tokens, preprocessing).encode() == content


def test_characters_outside_the_vocabulary_are_an_error_or_are_skipped() -> None:
    preprocessing = TextPreprocessing("chars", "abc")
    message = r"x: has characters that are not in the model's vocabulary: 'd' \(U\+0064\); .*skip"
    with pytest.raises(InputError, match=message):
        read_with_vocabulary([source(b"abcd")], preprocessing, None, on_unknown="error")
    text = read_with_vocabulary([source(b"adbdc")], preprocessing, None, on_unknown="skip")
    assert text.tokens.tolist() == [0, 1, 2]


def test_strings_are_preprocessed_before_they_are_encoded() -> None:
    def encode(preprocessing: TextPreprocessing, string: str) -> list[int]:
        return list(Tokenizer(preprocessing).encode(string, "--prime", "error"))

    assert encode(TextPreprocessing("bytes"), "é") == [0xC3, 0xA9]
    assert encode(TextPreprocessing("chars", "abc", lower=True), "ABC") == [0, 1, 2]
    assert encode(TextPreprocessing("chars", "\nab"), "a\r\nb\r") == [1, 0, 2, 0]
